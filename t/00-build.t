#!/usr/bin/perl

# Both ways to build give a module that exports its one symbol and loads: configure's, and the line of apxs that README
# shows, run as it stands there.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use PWK::Server;
use PWK::Test;

my $src = $PWK::Server::SRCDIR;

sub exported ($so) { return join ' ', sort map { (split)[-1] } `nm -D --defined-only '$so'` }

sub files (@globs) { return map { substr $_, 1 + length $src } map { glob "'$src'/$_" } @globs }

subtest 'sources.mk lists what is there' => sub {
    my %list;
    my $text = PWK::Server::slurp("$src/sources.mk") =~ s/^#.*\n//mgr =~ s/\\\n/ /gr;
    $list{$1} = [split ' ', $2] while $text =~ /^(\w+)\s*=[ \t]*(.*)$/mg;
    my %tree = (
        core_sources  => [files('src/core/*.c')],
        core_headers  => [files('src/core/*.h')],
        httpd_sources => [files('*.c', 'src/httpd/*.c')],
        httpd_headers => [files('src/httpd/*.h')],
        tool_sources  => [files('src/tool/*.c')],
        tool_headers  => [files('src/tool/*.h')],
        unit_tests    => [map {s/\.c\z//r} files('t/unit/*.c')],
        unit_headers  => [files('t/unit/*.h')],
        shim_sources  => [files('t/points/*.c')],
        points_sources => [grep { !/shim/ } files('t/points/*.c')],
        points_headers => [files('t/points/*.h')],
    );
    my %of_httpd = map { ($_ => 1) } @{$list{httpd_sources}};
    is_deeply [grep { !$of_httpd{$_} } @{delete $list{tool_shared} // ['no list']}], [], 'tool_shared: of httpd_sources';
    is_deeply [sort @{$list{$_} // []}], [sort @{$tree{$_}}], $_ for sort keys %tree;
    is_deeply [sort keys %list], [sort keys %tree], 'and no other list';
};

subtest 'the module of make' => sub {
    is exported($PWK::Server::MODULE), 'payway_klarna_module', 'exports its record and nothing else';
    my $server = PWK::Server->new->start;
    ok $server->running, 'and loads';
    $server->stop;
};

# Where a test ends the process, the shipped module has nothing: neither a call nor a name.
subtest 'the points of a test build' => sub {
    my $traces = sub ($so) { return [sort { $a cmp $b } `{ nm '$so'; strings -a '$so'; } | grep -iE 'pwk_?(point|orders)|orders_(read|point|note|die|sleep)'`] };
    my $points = $ENV{PWK_MODULE_POINTS} // "$PWK::Server::BUILDDIR/t/points/.libs/mod_payway_klarna.so";
    ok -e $points, 'the module was built with them' or return;
    cmp_ok scalar @{$traces->($points)}, '>', 5, 'and shows it';
    is_deeply $traces->($PWK::Server::MODULE), [], 'the shipped module holds no trace of them';
    is exported($points), 'payway_klarna_module', 'and even that one exports nothing else';
};

# The line is run in a copy of the sources, with apxs and a2enmod pointed at a scratch directory.
subtest 'the line of apxs in README' => sub {
    my ($line) = PWK::Server::slurp("$src/README.md") =~ /^[ \t]*(?:sudo )?(apxs (?:[^\n]*\\\n)*[^\n]*)/m;
    ok defined $line, 'README shows it' or return;
    like $line, qr/ -i\b.* -a\b.* -c\b/s, 'it builds, installs and activates';

    my $scratch = tempdir('pwk-apxs-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my ($conf, $modules, $tree) = map {"$scratch/$_"} qw(conf modules tree);
    make_path("$conf/mods-available", "$conf/mods-enabled", "$scratch/state", $modules, $tree);
    for my $file (files('*.c', 'src/core/*.[ch]', 'src/httpd/*.[ch]')) {
        make_path("$tree/" . ($file =~ m{\A(.*/)} ? $1 : ''));
        system('cp', "$src/$file", "$tree/$file") == 0 or die "cp $file\n";
    }
    local $ENV{APACHE_CONFDIR}          = $conf;
    local $ENV{APACHE_STATE_DIRECTORY}  = "$scratch/state";
    local $ENV{APACHE_MODS_AVAILABLE}   = "$conf/mods-available";
    my $here = $line =~ s{\Aapxs }{$PWK::Server::APXS -S LIBEXECDIR=$modules -S SYSCONFDIR=$conf }r;
    my $said = `cd '$tree' && ( $here ) 2>&1`;
    is $?, 0, 'it succeeds' or diag $said;
    unlike $said, qr/warning:/, 'without a warning' or diag $said;

    my $so = "$modules/mod_payway_klarna.so";
    ok -e $so, 'the module is installed' or return;
    is exported($so), 'payway_klarna_module', 'exports its record and nothing else';
    like PWK::Server::slurp("$conf/mods-available/payway_klarna.load"), qr/^LoadModule payway_klarna_module /, 'and is activated';

    local $PWK::Server::MODULE = $so;
    my ($status, $output) = PWK::Server->new->configtest;
    is $status, 0, 'and loads' or diag $output;
};

done_testing;
