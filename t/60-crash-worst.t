#!/usr/bin/perl

# The crashes of 60-crash.t before a Payway that charges for every order it hears, used token or not: here only the ledger
# stands between a reader and a second charge.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::CrashMatrix ();
use PWK::Test;

PWK::CrashMatrix::run('off');
done_testing;
