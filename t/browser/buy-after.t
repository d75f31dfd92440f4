#!/usr/bin/perl
# What may still happen once Klarna has approved, in a real browser.
use v5.36;
use FindBin;
use lib "$FindBin::Bin/../lib";
use PWK::Browser;

PWK::Browser::run('buy-after', %PWK::Browser::SHOP, expect => [qr/PWK0152/]);
