#!/usr/bin/perl
# From the wall through Klarna to the article, in a real browser: in both languages, by keyboard, with several ways to pay,
# a trial and a later start.
use v5.36;
use FindBin;
use lib "$FindBin::Bin/../lib";
use PWK::Browser;

PWK::Browser::run('buy', %PWK::Browser::SHOP);
