#!/usr/bin/perl

# httpd dies anywhere in a sale. Whoever was charged has the article, whoever was not may buy, and nobody is charged twice.
# Payway behaves as Klarna does: an authorization and a session are good for one order.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::CrashMatrix ();
use PWK::Test;

PWK::CrashMatrix::run('strict');
done_testing;
