#!/usr/bin/perl
# What goes wrong between the button and the article, in a real browser: each with its own words, and a way on.
use v5.36;
use FindBin;
use lib "$FindBin::Bin/../lib";
use PWK::Browser;

PWK::Browser::run('troubles', %PWK::Browser::SHOP, expect => [qr/PWK0152/]);
