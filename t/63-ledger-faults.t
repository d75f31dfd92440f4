#!/usr/bin/perl

# The ledger's disk fails, is full, read-only or broken, or somebody locks the ledger. Before the claim: nothing is sold, the
# page says that nothing was ordered, and reading goes on. After it: whoever was charged reads, and the order is found out.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Crash       ();
use PWK::CrashMatrix ();
use PWK::Test;
use Time::HiRes qw(time);

my $crash  = PWK::Crash->new;
my $sim    = $crash->sim;
my $server = $crash->server;
my $reader = PWK::Client->new(base => $server->url);
my $place  = \&PWK::CrashMatrix::place;
$sim->shape(authorization_check => 'off', products_delay => 3600);
log_in($reader);
$server->allow_log(qr/PWK0146/)->expect_log(qr/PWK0141/);

sub authorizes ($case) {
    return $case->{sale}->client->follow($case->{sale}->authorize($case->{page}, token => $case->{token}));
}

# In the end: one charge, and the books agree.
sub ends_well (@cases) {
    is_deeply [$crash->charges(@cases)], [(1) x @cases], 'charged once in the end';
    is_deeply [$crash->violations(@cases)], [], 'and the books agree';
    return;
}

# While the ledger fails, and after it.
sub no_sale ($name, $fails, $mends) {
    my $case = $crash->buyer(name => $name);
    my $wall = PWK::Client->new(base => $server->url)->get('/premium/a.html');
    my $sale = $crash->login($crash->buyer(name => 'another reader'));
    $sim->clear_requests;
    $fails->();
    my $began = time;
    my $end   = authorizes($case);
    like $end->body, $name =~ /fdatasync/ ? qr/data-notice="unavailable"|data-state="placing"/ : qr/data-notice="unavailable"|data-error="unavailable"/,
        "$name: the page says that nothing was ordered, or that it is not known";
    # A session that is not on disk yet harms nobody.
    like $place->($sale->press('/premium/a.html')), $name =~ /fdatasync/ ? qr/unavailable|\Asells\z/ : qr/\Aerror (?:sale_)?unavailable\z/,
        "$name: no sale is begun";
    is $reader->get('/premium/a.html')->status, 200, "$name: reading goes on";
    is PWK::Client->new(base => $server->url)->get('/premium/a.html')->status, 402, "$name: and the wall stands";
    cmp_ok time - $began, '<', 25, "$name: nobody is kept waiting";
    $mends->();
    is scalar $crash->orders, 0, "$name: nothing was sent";
    is $crash->charges($case), 0, "$name: nor charged";
    if ($crash->state_of($case) eq 'placing') {
        # What was written and could not be synced may show. Nothing was sent, which is found out.
        like $name, qr/fdatasync/, "$name: the claim shows";
        PWK::CrashMatrix::settle($crash, $case);
        is $place->(PWK::CrashMatrix::buys($crash, $crash->login($case))), 'confirmation', "$name: and it is bought anew";
    }
    else {
        is $crash->state_of($case), 'created', "$name: the purchase is as it was";
        is $place->(authorizes($case)), 'confirmation', "$name: the same form places it afterwards";
    }
    ends_well($case);
    return;
}

for my $fault (qw(EIO ENOSPC EROFS)) {
    for my $call (qw(pwrite fdatasync any)) {
        subtest "before the claim: $fault, $call" => sub {
            no_sale("$fault $call", sub { $crash->order("file ledger.db $call $fault 1") }, sub { $crash->clear });
        };
    }
}

subtest 'before the claim: one write fails, once' => sub {
    for my $call (qw(pwrite fdatasync)) {
        my $case = $crash->buyer(name => $call);
        $sim->clear_requests;
        $crash->order("file ledger.db-wal $call EIO -1");
        is $place->(authorizes($case)), 'confirmation', "$call: tried again, and sold";
        $crash->clear;
        ends_well($case);
    }
};

for my $fault (qw(EIO ENOSPC EROFS)) {
    for my $acts (1, 0) {
        subtest "after the claim: $fault, " . ($acts ? 'ordered' : 'the answer is lost, and nothing ordered') => sub {
            my $case = $crash->buyer(name => $fault);
            $sim->clear_requests;
            $sim->fault(role => 'api', path => "$PWK::Crash::API/place_", kind => 'cut_before', times => 1) unless $acts;
            $server->expect_log(qr/PWK0155/)->allow_log(qr/PWK0152/);
            $crash->order('point P9 - hold 0');
            $crash->begin($case);
            $crash->wait_until_arrived;
            $crash->order("file ledger.db any $fault 1");    # and on it goes
            my $answer = $crash->answer($case);
            is $answer->status, 303, 'the reader is answered by what is known';
            like $place->($case->{sale}->client->follow($answer)), $acts ? qr/confirmation|waits|unavailable/ : qr/waits|unavailable/, 'not by an error of the server';
            is $case->{sale}->client->get('/premium/a.html')->status, 200, 'and reads';
            $crash->clear;
            is $crash->state_of($case), 'placing', 'the ledger does not know the outcome';
            PWK::CrashMatrix::settle($crash, $case);
            PWK::CrashMatrix::buys($crash, $crash->login($case)) unless $acts;
            ends_well($case);
        };
    }
}

subtest 'locked for a while' => sub {
    my $locks = sub ($seconds) {
        my $pid = open my $in, '|-', 'sqlite3', $crash->{ledger} or die "sqlite3: $!";
        $in->autoflush;
        print {$in} ".timeout 5000\nBEGIN IMMEDIATE;\n.shell touch @{[$server->path('run/locked')]}\n.shell sleep $seconds\nROLLBACK;\n";
        $crash->wait_for(sub { unlink $server->path('run/locked') }, 'the lock');
        return $in;
    };
    my $case = $crash->buyer(name => 'a short lock');
    $sim->clear_requests;
    $crash->order('point P9 - hold 0');
    $crash->begin($case);
    $crash->wait_until_arrived;
    my $lock = $locks->(2.5);
    $crash->clear;
    is $place->($case->{sale}->client->follow($crash->answer($case))), 'confirmation', 'the outcome waits for a lock that passes';
    close $lock;
    is $crash->state_of($case), 'placed', 'and is written';
    ends_well($case);
    my $long;
    no_sale('a long lock', sub { $long = $locks->(15) }, sub { close $long });
};

# As whoever httpd runs as; root's own hand is stopped by nothing.
subtest 'the file must not be written' => sub {
    plan skip_all => 'not root: httpd is who owns the files' unless PWK::Server::server_user();
    my @files = map { $server->path("run/ledger.db$_") } '', '-wal', '-shm';
    my ($uid, $gid) = (stat $files[0])[4, 5];
    my $owner = sub ($uid, $mode) { chown $uid, $gid, $server->path('run'), grep {-e} @files; chmod $mode, grep {-e} @files; $crash->kill_children };
    my $case = $crash->buyer(name => 'read-only');
    $sim->clear_requests;
    $owner->(0, 0444);
    my $end = authorizes($case);
    like $end->body, qr/data-notice="unavailable"|data-error="unavailable"/, 'the page says that nothing was ordered';
    is $reader->get('/premium/a.html')->status, 200, 'reading goes on';
    $owner->($uid, 0640);
    is scalar $crash->orders, 0, 'nothing was sent';
    is $place->(authorizes($case)), 'confirmation', 'the same form places it afterwards';
    ends_well($case);
};

subtest 'the file is no database' => sub {
    my $case = $crash->buyer(name => 'corrupt');
    $crash->sql('PRAGMA wal_checkpoint(TRUNCATE)');
    $server->stop;
    my $path = $crash->{ledger};
    my $was  = PWK::Server::slurp($path);
    unlink map {"$path$_"} '-wal', '-shm';
    for my $broken (substr($was, 0, 100) . ("\xA5" x (length($was) - 100)), 'no database at all, ' x 200, substr $was, 0, length($was) / 2) {
        my $write = sub ($bytes) { open my $out, '+<:raw', $path or die "$path: $!"; print {$out} $bytes; truncate $out, length $bytes; close $out };
        $write->($broken);
        $server->start;
        $sim->clear_requests;
        my $end = authorizes($case);
        like $place->($end), qr/\Aerror \w*unavailable\z|\Aerror not_found\z/, 'no sale: ' . $place->($end);
        is scalar $crash->orders, 0, 'nothing was sent';
        is $reader->get('/premium/a.html')->status, 200, 'reading goes on';
        $server->stop;
        unlink map {"$path$_"} '-wal', '-shm';
        $write->($was);
    }
    $server->start;
    is $place->(authorizes($case)), 'confirmation', 'with the file of before it is sold';
    ends_well($case);
};

done_testing;
