#!/usr/bin/perl

# The same under worker and prefork: whole test files, run again.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

for my $mpm (qw(worker prefork)) {
    SKIP: {
        skip "mpm_$mpm is not installed", 1 unless -e "/usr/lib/apache2/modules/mod_mpm_$mpm.so" || -e "/usr/lib64/httpd/modules/mod_mpm_$mpm.so";
        for my $file (qw(20-login 30-access 32-require 33-content 35-ages 50-sale 52-sale-identity)) {
            local $ENV{PWK_MPM} = $mpm;
            my $said = `$^X '$FindBin::Bin/$file.t' 2>&1`;
            is $?, 0, "$mpm: $file" or diag $said;
            like $said, qr/^1\.\.[1-9]/m, 'which ran';
        }
    }
}

done_testing;
