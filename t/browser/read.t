#!/usr/bin/perl
# A stranger meets the wall, logs in and reads; a buyer goes through the shop and reads: in a real browser.
use v5.36;
use FindBin;
use lib "$FindBin::Bin/../lib";
use PWK::Browser;

PWK::Browser::run('read', people => {subscriber => ['example_web'], stranger => []});
