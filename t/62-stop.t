#!/usr/bin/perl

# The process ends where the ledger is written, where an order that was lost is found, and when an operator stops httpd in
# the middle of a sale. Nothing is sent before the claim is on disk, and whatever was under way is finished or found.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Crash       ();
use PWK::CrashMatrix ();
use PWK::Test;

my $crash  = PWK::Crash->new;
my $sim    = $crash->sim;
my $server = $crash->server;
$sim->shape(authorization_check => 'off', products_delay => 3600);
$server->allow_log(qr/PWK0146|PWK0152/);

my @READERS = ('the same form again', 'presses buy', 'a second browser');

# The reader comes back, all is found out; whoever was not charged buys. In the end: one charge, and the books agree.
sub recovers ($name, $charged, @cases) {
    my %state = $crash->states;
    for my $case (@cases) {
        my $word = PWK::CrashMatrix::place($PWK::CrashMatrix::READERS{$case->{name}}->($crash, $case));
        like $word, PWK::CrashMatrix::expected($state{$case->{id}}, $case->{name}), "$name, $state{$case->{id}}: $case->{name}";
    }
    PWK::CrashMatrix::settle($crash, @cases);
    if (!$charged) {
        my @charges = $crash->charges(@cases);
        PWK::CrashMatrix::buys($crash, $crash->login($cases[$_])) for grep { !$charges[$_] } keys @cases;
    }
    is_deeply [$crash->charges(@cases)], [(1) x @cases], "$name: charged once in the end";
    is_deeply [$crash->violations(@cases)], [], "$name: the books agree";
    return;
}

# what is ordered for the write-ahead log, the state afterwards
for my $row (
    ['P1: nothing is written',               'pwrite kill 1',         qr/created/],
    ['P2: half of the first write',          'pwrite half 1',         qr/created/],
    ['P2: after the first write',            'pwrite killafter 1',    qr/created/],
    ['P2: half of the second write',         'pwrite half 2',         qr/created/],
    ['P3: all is written, nothing synced',   'fdatasync kill 1',      qr/created|placing/],
    ['P3: synced, and nobody knows it',      'fdatasync killafter 1', qr/placing/],
) {
    my ($name, $order, $state) = @$row;
    subtest $name => sub {
        for my $reader (@READERS) {
            my $case = $crash->buyer(name => $reader);
            $sim->clear_requests;
            $crash->order("file ledger.db-wal $order");
            $crash->begin($case);
            $crash->wait_until_ordered;
            is $crash->answer($case), undef, 'no answer';
            $crash->wait_for_child;
            is_deeply [map { (split ' ', $order)[0] eq $_ ? () : $_ } $crash->arrived], [], 'it died there';
            is scalar $crash->orders, 0, 'nothing was sent';
            like $crash->state_of($case), $state, "the ledger: $state";
            recovers($name, 0, $case);
        }
    };
}

subtest 'P3: the power fails, and what was not synced is lost' => sub {
    my $case = $crash->buyer(name => 'the same form again');
    $crash->sql('PRAGMA wal_checkpoint(TRUNCATE)');
    my @files = map { $server->path("run/ledger.db$_") } '', '-wal', '-shm';
    my %was   = map { ($_ => PWK::Server::slurp($_)) } @files[0, 1];
    $sim->clear_requests;
    $crash->order('file ledger.db-wal fdatasync kill 1');
    $crash->begin($case);
    $crash->wait_until_ordered;
    $server->kill_all;
    unlink $files[2];
    for my $path (keys %was) {
        open my $out, '+<:raw', $path or die "$path: $!";
        print {$out} $was{$path};
        truncate $out, length $was{$path};
    }
    $server->start;
    is $crash->state_of($case), 'created', 'as before the claim';
    is scalar $crash->orders, 0, 'and nothing was sent';
    recovers('a power cut', 0, $case);
};

subtest 'P12: whoever found the order dies before it is written' => sub {
    for my $how ([1, 1], [0, 1], [1, 0], [0, 0]) {
        my ($acts, $comes_back) = @$how;
        my $case = $crash->buyer(name => 'the same form again');
        $sim->clear_requests;
        $sim->fault(role => 'api', path => "$PWK::Crash::API/place_", times => 1, kind => $acts ? 'cut_after' : 'cut_before');
        $case->{sale}->authorize($case->{page}, token => $case->{token});
        is $crash->state_of($case), 'unknown', 'its answer was lost';
        for my $again (1, 2) {
            $crash->order('point P12 - kill 0');
            # The rounds that httpd makes by itself, or a reader who comes back and is before them.
            my $next = $comes_back ? 4_000_000_000 : 1;
            $crash->sql("UPDATE payway_purchase SET next_look = $next, looked = 0 WHERE id = '$case->{id}'");
            is eval { $case->{sale}->state($case->{id}) }, undef, 'no answer' if $comes_back;
            $crash->wait_until_ordered;
            $crash->wait_for_child;
            is $crash->sql("SELECT state, negatives FROM payway_purchase WHERE id = '$case->{id}'"), 'unknown|0', 'nothing was written';
        }
        recovers('after it', $acts, $case);
    }
};

subtest 'the process ends by itself, or is only slow' => sub {
    my @cases = map { $crash->buyer(name => $_) } @READERS[0, 1];
    $sim->clear_requests;
    $crash->order('point P7 - exit 0');
    $crash->begin($cases[0]);
    $crash->wait_until_ordered;
    is $crash->answer($cases[0]), undef, 'P7: no answer';
    $crash->wait_for_child;
    $crash->wait_for(sub { $crash->orders }, 'the order');
    is $crash->state_of($cases[0]), 'placing', 'P7: as it stood';
    $crash->order('point P9 - sleep 500');
    $crash->begin($cases[1]);
    $crash->wait_until_arrived;
    is $crash->state_of($cases[1]), 'placing', 'P9: not written yet';
    is $crash->answer($cases[1])->status, 303, 'P9: answered';
    $crash->clear;
    is $crash->state_of($cases[1]), 'placed', 'P9: and written';
    recovers('after it', 1, @cases);
};

# What the operator does; the orders go on once the children were told to end (after three seconds httpd says it again).
$server->allow_log(qr/AH00045/);
my %operator = (
    'kill -9 of the tree' => sub { $server->kill_all; $crash->clear; $server->start },
    'stop'                => sub { $server->signal('TERM'); wait_for_line(qr/AH00045/); $crash->clear; $server->wait_for_end->start },
    'restart'             => sub { comes_again('HUP') },
    'graceful'            => sub { comes_again('USR1') },
);

sub wait_for_line ($line, $mark = $crash->{mark}) {
    $server->wait_for_log($line, $mark) // die "no line $line\n";
    return;
}

sub comes_again ($signal) {
    $server->signal($signal);
    wait_for_line($signal eq 'HUP' ? qr/AH00045/ : qr/SIGUSR1/);
    $crash->clear;
    wait_for_line(qr/resuming normal operations/);
    return;
}

for my $name (sort keys %operator) {
    subtest "$name while orders are under way" => sub {
        for my $point (qw(P0 P4 P7 P9)) {
            my @cases = map { $crash->buyer(name => $_) } @READERS;
            $sim->clear_requests;
            $crash->order("point $point - hold 0");
            $crash->begin($_) for @cases;
            $crash->wait_until_arrived(scalar @cases);
            $crash->{mark} = $server->mark;
            $operator{$name}->();
            $crash->wait_for_child;
            my $killed  = $name =~ /kill/;
            my @answers = map { $crash->answer($_) // () } @cases;
            is scalar @answers, @cases, "$point: graceful answers all" if $name eq 'graceful';
            is_deeply [map { $crash->state_of($_) } @cases], [('placed') x @cases], "$point: what was under way was finished" unless $killed;
            is_deeply [map { $crash->state_of($_) } @cases], [($point eq 'P0' ? 'created' : 'placing') x @cases], "$point: as it stood" if $killed;
            my $charged = !$killed || $point =~ /P[79]/ ? 1 : 0;
            $crash->wait_for(sub { $crash->orders >= $charged * @cases }, 'the orders to arrive');
            is_deeply [$crash->charges(@cases)], [($charged) x @cases], "$point: charged: $charged";
            recovers("$point: $name", $charged, @cases);
        }
    };
}

# httpd waits for nine seconds, and then it kills.
subtest 'stop, while Payway never answers' => sub {
    my @cases = map { $crash->buyer(name => $_) } @READERS;
    $sim->clear_requests;
    $crash->order('point P7 - hold 0');
    $crash->begin($_) for @cases;
    $crash->wait_until_arrived(scalar @cases);
    $crash->wait_for(sub { $crash->orders == @cases }, 'the orders to arrive');
    $server->allow_log(qr/AH00046/);
    $server->signal('TERM')->wait_for_end;
    $crash->clear;
    $server->start;
    is_deeply [map { $crash->state_of($_) } @cases], [('placing') x @cases], 'nobody wrote the outcome';
    recovers('after a stop that killed', 1, @cases);
};

done_testing;
