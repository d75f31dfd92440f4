#!/usr/bin/perl
# Our own login form, in a real browser: what a person is told when it goes wrong.
use v5.36;
use FindBin;
use lib "$FindBin::Bin/../lib";
use PWK::Browser;

PWK::Browser::run('form', people => {subscriber => ['example_web'], frozen => [], inactive => []}, directives => "PaywayLogin form\n",
    expect => [qr/PWK0030: Payway could not be asked \(logging in by the form\)/]);
