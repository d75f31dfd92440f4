#!/usr/bin/perl

# Every answer of every function of the ledger, on PostgreSQL too: t/unit/ledger, which is at home on SQLite.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Postgres ();
use PWK::Server   ();
use Test::More;

my $program = "$PWK::Server::BUILDDIR/t/unit/ledger";
plan skip_all => 'the unit tests were not built' unless -x $program;
my $postgres = PWK::Postgres->start;
$ENV{PWK_TEST_PGSQL} = $postgres->params;
$ENV{CMOCKA_MESSAGE_OUTPUT} = 'TAP';
my $said = `'$program' 2>&1`;
is $?, 0, 'it ends well';
my ($plan)  = $said =~ /^1\.\.(\d+)$/m;
my @passed  = $said =~ /^ok (\d+) - /mg;
my @failed  = $said =~ /^(not ok .*|#.* left out\b.*)$/mg;
cmp_ok $plan // 0, '>=', 48, 'it has tests';
is scalar @passed, $plan, 'all of which pass';
is_deeply \@failed, [], 'and none was left out' or diag $said;
done_testing;
