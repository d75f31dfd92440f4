#!/usr/bin/perl
# However often it is pressed, reloaded, opened in another tab or come back to: one session, one order, one charge, and the
# confirmation at the end. In a real browser.
use v5.36;
use FindBin;
use lib "$FindBin::Bin/../lib";
use PWK::Browser;

PWK::Browser::run('buy-once', %PWK::Browser::SHOP);
