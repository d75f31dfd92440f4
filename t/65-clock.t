#!/usr/bin/perl

# The time of day jumps, as it does when a host's clock is put right, while an order is under way or looked for. It is found
# all the same, sent once and charged once; and time that has really passed proves what it has to.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Crash       ();
use PWK::CrashMatrix ();
use PWK::Test;

use constant {DAY => 86_400, HOUR => 3600};

my $crash  = PWK::Crash->new;
my $sim    = $crash->sim;
my $server = $crash->server;
my $place  = \&PWK::CrashMatrix::place;
$sim->shape(authorization_check => 'off');
$server->allow_log(qr/PWK0146|PWK0152|PWK0030|PWK0140/);

# A purchase whose answer is lost, and a first look that finds nothing.
sub lost ($name, $acts = 1) {
    my $case = $crash->buyer(name => $name);
    $sim->clear_requests;
    $sim->shape(orders_delay => 3600, products_delay => 3600);
    $sim->fault(role => 'api', path => "$PWK::Crash::API/place_", times => 1, kind => $acts ? 'cut_after' : 'cut_before');
    $case->{sale}->authorize($case->{page}, token => $case->{token});
    is $case->{sale}->state($case->{id})->{state}, 'unknown', "$name: unknown";
    $sim->shape(orders_delay => 0, products_delay => 0);
    return $case;
}

# The reader comes back, with a new login where the old one is out of time.
sub ends_well ($case) {
    my $sale = $crash->login($case);
    $crash->wait_for(sub { $sale->state($case->{id})->{state} =~ /placed|confirmed/ }, 'the order to be found', 15);
    is $sale->client->get('/premium/a.html')->status, 200, 'whoever was charged reads';
    is scalar $crash->orders, 1, 'sent once';
    is $crash->charges($case), 1, 'charged once';
    is_deeply [$crash->violations($case)], [], 'and the books agree';
    return;
}

is PWK::Client->new(base => $server->url)->get('/')->status, 200, 'the clock is as it is';
subtest 'the shifted clock is seen by httpd' => sub {
    my ($today) = PWK::Client->new(base => $server->url)->get('/')->header('Date') =~ /(\d\d \w+ \d+)/;
    $crash->clock(DAY);
    my ($tomorrow) = PWK::Client->new(base => $server->url)->get('/')->header('Date') =~ /(\d\d \w+ \d+)/;
    $crash->clock(0);
    isnt $tomorrow, $today, "$today, $tomorrow";
};

for my $jump (DAY, -DAY(), HOUR, -HOUR()) {
    my $name = sprintf '%+d h', $jump / HOUR;
    subtest "$name while the order is looked for" => sub {
        my $case = lost($name);
        $crash->clock($jump);
        ends_well($case);
        $crash->clock(0);
    };
    subtest "$name and back while the order is looked for" => sub {
        my $case = lost($name);
        $sim->shape(orders_delay => 3600, products_delay => 3600);
        $crash->clock($jump);
        like $crash->login($case)->state($case->{id})->{state}, qr/unknown/, 'looked at there';
        $sim->shape(orders_delay => 0, products_delay => 0);
        $crash->clock(0);
        ends_well($case);
    };
    subtest "$name while Payway has the order, and whoever sent it is there" => sub {
        my $case = $crash->buyer(name => $name);
        $sim->clear_requests;
        $sim->shape(orders_delay => 3600, products_delay => 3600);    # nobody finds it: the answer has to tell
        $crash->order('point P7 - hold 0');
        $crash->begin($case);
        $crash->wait_until_arrived;
        $crash->wait_for(sub { $crash->orders }, 'the order');
        $crash->clock($jump);
        like $crash->login($case)->state($case->{id})->{state}, qr/placing|unknown/, 'another browser looks';
        $crash->clear;
        is $crash->answer($case)->status, 303, 'the answer comes';
        is $crash->state_of($case), 'placed', 'and counts, called overdue or not';
        $sim->shape(orders_delay => 0, products_delay => 0);
        ends_well($case);
        $crash->clock(0);
    };
    subtest "$name while Payway has the order, and whoever sent it is gone" => sub {
        my $case = $crash->buyer(name => $name);
        $sim->clear_requests;
        $crash->order('point P7 - kill 0');
        $crash->begin($case);
        $crash->wait_until_ordered;
        $crash->wait_for_child;
        $crash->wait_for(sub { $crash->orders }, 'the order');
        $crash->clock($jump);
        ends_well($case);
        $crash->clock(0);
    };
}

subtest 'the clock jumps, and nobody comes back' => sub {
    for my $jump (DAY, -DAY()) {
        my $case = lost(sprintf '%+d h', $jump / HOUR);
        $crash->clock($jump);
        ok eval { $crash->wait_for(sub { $crash->state_of($case) =~ /placed|confirmed/ }, 'the order to be found', 30); 1 }, 'found by itself' or diag $@;
        is $crash->charges($case), 1, 'charged once';
        $crash->clock(0);
    }
};

subtest 'an hour passes by the clock: absent' => sub {
    my $case = lost('absent', 0);
    for my $at (1000, 2000, 3000) {
        $crash->clock($at);
        is $case->{sale}->state($case->{id})->{state}, 'unknown', "after $at s";
    }
    is $crash->sql("SELECT negatives FROM payway_purchase WHERE id = '$case->{id}'"), 3, 'each was a reading';
    $crash->clock(64 * 60);
    is $crash->login($case)->state($case->{id})->{state}, 'unknown', 'after 64 minutes';
    $crash->clock(67 * 60);
    is $crash->login($case)->state($case->{id})->{state}, 'failed', 'after 67 minutes';
    is $crash->charges($case), 0, 'not charged';
    is $place->(PWK::CrashMatrix::buys($crash, $crash->login($case))), 'confirmation', 'and may buy';
    $crash->clock(0);
    is $crash->charges($case), 1, 'once';
};

subtest 'two days pass, and nobody can tell: an operator has to' => sub {
    my $case  = lost('manual', 0);
    my $fault = $sim->fault(role => 'api', path => '/external/api/v1/order', kind => 'status', status => 403);
    $server->expect_log(qr/PWK0156/)->allow_log(qr/PWK0032/);
    $crash->clock(47 * HOUR);
    is $crash->login($case)->state($case->{id})->{state}, 'unknown', 'after 47 hours';
    $crash->clock(49 * HOUR);
    is $crash->login($case)->state($case->{id})->{state}, 'manual', 'after 49 hours';
    $sim->clear_faults($fault);
    $crash->clock(0);
};

done_testing;
