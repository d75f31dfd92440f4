#!/usr/bin/perl

# The connection that carries an order breaks at every byte: 0, 1, 2 … of the request are passed on, and then 0, 1, 2 … of the
# answer come back, by FIN and by RST in turn, by both at the ends and between head and body; with a Payway as Klarna's, and
# with one that charges for every order that it hears. Whatever it is: sent once, charged once at most; whoever was charged
# reads, and has the order; what was not charged is never placed by itself, and may be bought again after an hour.
#
# PWK_CUTS=20 takes every twentieth byte alone, for a quick look.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Sale    ();
use PWK::Shop    ();
use PWK::Test;
use PWK::Workers ();
use Time::HiRes  qw(sleep time);

my $WORKERS = 4;
my $STEP    = $ENV{PWK_CUTS} // 1;
my $SHOWN   = 5;    # failures of one kind that are told of

my $shop = PWK::Shop->open(directives => "PaywayTimeout 20s\nPaywayOrderTimeout 20s\nPaywayRefreshInterval 1h\n");
my ($sim, $server) = ($shop->sim, $shop->server);
$server->expect_log(qr/PWK0152/);

# One purchase whose connection is cut, as it looks right after it.
my $buyer;
sub purchase ($case) {
    $buyer = $shop->buyer unless $buyer && $shop->may_buy($buyer);
    my $page  = $shop->page($buyer, 'a');
    my $id    = PWK::Sale::id($page);
    my $token = $shop->approve($page);
    $shop->proxy->cut($case->{side} => $case->{at}, how => $case->{how}, purchase => $id) if $case->{how} ne 'whole';
    my $answer = $shop->sale($buyer)->authorize($page, token => $token);
    my $state  = $shop->sale($buyer)->state($id)->{state};
    my %result = (%$case, id => $id, account => $buyer->{account}, token => $token, status => $answer->status, state => $state,
        path => $shop->path($buyer), reads => $shop->browser($buyer)->get($shop->path($buyer))->status);
    if ($state =~ /placed|confirmed/) { $buyer->{next}++; $result{buyer} = {%$buyer} }
    else                              { $result{buyer} = $shop->leave($buyer); undef $buyer }
    return \%result;
}

# The row as it stands after another look at it.
sub look ($case) {
    my $state = $shop->sale($case->{buyer})->state($case->{id})->{state};
    $shop->leave($case->{buyer});
    return {%$case, state => $state};
}

# The page of the purchase says what became of it, and closes the article again.
sub buy_again ($case) {
    $shop->browser($case->{buyer})->get("/payway/purchase/$case->{id}");
    my $page = $shop->page($case->{buyer}, 'a');
    $shop->leave($case->{buyer});
    return {%$case, again => $page->status == 200 && $page->body =~ /data-client-token/ && PWK::Sale::id($page) ne $case->{id}};
}

my %WORK = (purchase => \&purchase, look => \&look, buy_again => \&buy_again);
my $workers = PWK::Workers->start($WORKERS, sub ($job) { $WORK{$job->[0]}->($job->[1]) });

sub each_of ($work, @cases) {
    my @results;
    $workers->run([map { [$work, $_] } @cases], sub ($result) { push @results, $result });
    return @results;
}

sub name_of ($case) { return "$case->{side} $case->{at} by $case->{how} (purchase $case->{id})" }

sub none_ok ($name, @bad) {
    return if ok !@bad, $name;
    diag scalar(@bad) . " times, such as:";
    diag '  ' . name_of($_) . ": state $_->{state}, charged $_->{charged}, sent $_->{sent}, whole at Payway $_->{whole}, reads $_->{reads}"
        for grep {defined} @bad[0 .. $SHOWN - 1];
}

# Every place to cut, from what one whole purchase measured. The answer's length may grow by the digits of an order's number.
sub cases () {
    my ($whole) = each_of(purchase => {side => 'request', at => 0, how => 'whole'});
    my $seen    = $shop->proxy->seen->{$whole->{id}};
    cmp_ok $seen->{request},  '>', $seen->{request_head},  "a request of $seen->{request} bytes";
    cmp_ok $seen->{response}, '>', $seen->{response_head}, "an answer of $seen->{response} bytes";
    my @cases;
    for my $side (qw(request response)) {
        my $last = $seen->{$side} + ($side eq 'response' ? 2 : 0);
        push @cases, map { {side => $side, at => $_, how => $_ / $STEP % 2 ? 'rst' : 'fin'} } grep { $_ % $STEP == 0 } 0 .. $last;
        push @cases, map { my $at = $_; map { {side => $side, at => $at, how => $_} } qw(fin rst) } 0, 'head', 'end';
    }
    return @cases;
}

subtest 'an answer that is held, and comes in the end' => sub {
    my $buyer = $shop->buyer;
    my $page  = $shop->page($buyer, 'a');
    my $id    = PWK::Sale::id($page);
    my $token = $shop->approve($page);
    my $held  = sub ($count) {
        my $end = time + 15;
        sleep 0.02 until $shop->proxy->held == $count || time > $end;
        return $shop->proxy->held == $count;
    };
    for my $side (qw(request response)) {
        $shop->proxy->cut($side => 10, how => 'hold');
        my $pid = fork // die "fork: $!";
        if (!$pid) { eval { $shop->sale($shop->leave($buyer))->authorize($page, token => $token) }; require POSIX; POSIX::_exit(0) }
        ok $held->(1), "$side: held";
        is $shop->sale($buyer)->state($id)->{state}, 'placing', 'it is being placed';
        is $shop->proxy->release, 1, 'let go';
        waitpid $pid, 0;
        like $shop->sale($buyer)->state($id)->{state}, qr/placed|confirmed/, 'placed';
        is $shop->proxy->seen->{$id}{sent}, 1, 'sent once';
        $buyer = $shop->buyer;
        $page  = $shop->page($buyer, 'a');
        $id    = PWK::Sale::id($page);
        $token = $shop->approve($page);
    }
};

for my $check (qw(strict off)) {
    subtest "authorization_check $check" => sub {
        $sim->shape(authorization_check => $check);
        my $began = time;
        my @cases = cases();
        $sim->clear_requests;
        my @done = each_of(purchase => @cases);
        is scalar(@done), scalar(@cases), 'every purchase was made';
        my $seen = $shop->proxy->seen;
        none_ok('the proxy cut each of them', grep { !$seen->{$_->{id}}{cut} } @done);

        my %whole;
        $whole{$_->{json}{merchant_reference}}++ for $sim->requests(role => 'api', path => '/external/api/v1/klarna_payments/place');
        my $tally = sub {
            my %charged;
            $charged{$_->{merchant_reference}}++ for $sim->charges;
            my $seen = $shop->proxy->seen;
            for my $case (@done) {
                $case->{charged} = $charged{$case->{id}} // 0;
                $case->{whole}   = $whole{$case->{id}}   // 0;
                $case->{sent}    = $seen->{$case->{id}}{sent};
            }
        };
        $tally->();
        my @charged   = grep { $_->{charged} } @done;
        my @uncharged = grep { !$_->{charged} } @done;
        note sprintf '%d purchases in %.1f s, %d of them charged', scalar @done, time - $began, scalar @charged;
        cmp_ok scalar(@charged),   '>', 300 / $STEP, 'many were charged';
        cmp_ok scalar(@uncharged), '>', 300 / $STEP, 'and many were not';
        none_ok('sent once',                              grep { $_->{sent} != 1 || $_->{whole} > 1 } @done);
        none_ok('never charged twice',                    grep { $_->{charged} > 1 } @done);
        none_ok('the browser is led on',                  grep { $_->{status} != 303 } @done);
        none_ok('charged: reads',                         grep { $_->{reads} != 200 } @charged);
        none_ok('not charged: nobody can know that yet',  grep { $_->{state} ne 'unknown' } @uncharged);
        none_ok('not charged: the article is open meanwhile', grep { $_->{reads} != 200 } @uncharged);

        # Three readings a quarter of an hour apart, and an hour.
        my @open = grep { $_->{state} eq 'unknown' } @done;
        my $looks = 0;
        for my $minutes (16, 16, 66, 16, 16) {
            last unless @open;
            $shop->pass_minutes($minutes);
            @open = grep { $_->{state} eq 'unknown' } each_of(look => @open);
            # At the first another look, by the server itself, may have been under way.
            is scalar(my @late = grep { $_->{charged} } @open), 0, 'what was charged is found at the second look' if ++$looks == 2;
        }
        none_ok('an hour later nothing is open', @open);
        my %row = map { ($_->[0] => $_) } $shop->sql('SELECT id, state, error, order_id FROM payway_purchase');
        ($_->{state}, $_->{error}, $_->{order}) = @{$row{$_->{id}} // ['', 'gone', '', '']}[1 .. 3] for @done;
        none_ok('not charged: failed, since there is no order', grep { "$_->{state} $_->{error}" ne 'failed order_absent' } @uncharged);
        my %order = map { ($_->{merchant_reference} => $_->{order_id}) } $sim->charges;
        none_ok('charged: the ledger has that order', grep { $_->{order} ne ($order{$_->{id}} // '') || $_->{state} !~ /placed|confirmed/ } @charged);
        none_ok('not charged: may be bought again', grep { !$_->{again} } each_of(buy_again => @uncharged));
        $tally->();
        none_ok('and none of it was placed again by itself', grep { $_->{sent} != 1 || $_->{charged} > 1 } @done);
        is scalar(my @late = grep { $_->{charged} } @uncharged), 0, 'nor charged late';
        is_deeply $shop->proxy->faults, {orders => scalar(keys %{$shop->proxy->seen}), killed => 0, twice => [], shared => []}, 'every order of this run was sent once';
        note sprintf 'all of it in %.1f s', time - $began;
    };
}

$workers->stop;
done_testing;
