#!/usr/bin/perl
# Orders that do not end at the confirmation at once: the payment failed, the answer was lost, the reader had to log in between
# approval and order, the purchase was over. In a real browser, in both languages.
use v5.36;
use FindBin;
use lib "$FindBin::Bin/../lib";
use PWK::Browser;

PWK::Browser::run('buy-after', %PWK::Browser::SHOP, expect => [qr/PWK0152/]);
