#!/usr/bin/perl
# What a reader is told when Klarna's widget does not go the straight way: in a real browser, in both languages. None of it
# orders anything, and the purchase can be made after all.
use v5.36;
use FindBin;
use lib "$FindBin::Bin/../lib";
use PWK::Browser;

PWK::Browser::run('buy-troubles', %PWK::Browser::SHOP);
