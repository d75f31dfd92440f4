package PWK::CrashMatrix;

# The crash matrix of a purchase (threats 2.9): where httpd dies x what Payway did and answered x what the reader does then.
# Each case is an account of its own; the cases of one crash stand at the same point of one child.

use v5.36;
use PWK::Crash ();
use PWK::Sale  ();
use PWK::Test;

my $ORDER = "$PWK::Crash::API/place_";

# name, point, what Payway does with the order (a fault of the simulator, or switches), whether the order was charged,
# how many it heard of.
my @CRASHES = (
    ['before the claim',              'P0',  {}, 0, 0],
    ['claimed, not connected',        'P4',  {}, 0, 0],
    ['connected, nothing sent',       'P5',  {}, 0, 0],
    ['half of the order sent',        'P6',  {}, 0, 0],
    ['all sent; Payway acts',         'P7',  {}, 1, 1],
    ['all sent; Payway does not act', 'P7',  {fault => {kind => 'cut_before'}}, 0, 1],
    ['half of the answer',            'P8',  {}, 1, 1],
    ['half of a 503 after acting',    'P8',  {fault => {kind => 'status', status => 503, before_acting => 0}}, 1, 1],
    ['half of a 503 before acting',   'P8',  {fault => {kind => 'status', status => 503}}, 0, 1],
    ['accepted, not written',         'P9',  {}, 1, 1],
    ['refused, not written',          'P9',  {shape => {order_error => 'payment_declined'}}, 0, 1],
    ['503 after acting, not written', 'P9',  {fault => {kind => 'status', status => 503, before_acting => 0}}, 1, 1],
    ['503 before acting, not written', 'P9', {fault => {kind => 'status', status => 503}}, 0, 1],
    ['cut after acting, not written', 'P9',  {fault => {kind => 'cut_after'}}, 1, 1],
    ['no answer in time, not written', 'P9', {fault => {kind => 'hang', before_acting => 0}}, 1, 1],
    ['accepted and written',          'P10', {}, 1, 1],
    ['refused and written',           'P10', {shape => {order_error => 'payment_declined'}}, 0, 1],
    ['lost after acting, and written', 'P10', {fault => {kind => 'cut_after'}}, 1, 1],
    ['lost before acting, and written', 'P10', {fault => {kind => 'cut_before'}}, 0, 1],
    ['answered',                      'P11', {}, 1, 1],
    ['no crash: 503 after acting',    '',    {fault => {kind => 'status', status => 503, before_acting => 0}}, 1, 1],
    ['no crash: 503 before acting',   '',    {fault => {kind => 'status', status => 503}}, 0, 1],
    ['no crash: cut after acting',    '',    {fault => {kind => 'cut_after'}}, 1, 1],
    ['no crash: half an answer',      '',    {fault => {kind => 'cut_body'}}, 1, 1],
    ['no crash: cut before acting',   '',    {fault => {kind => 'cut_before'}}, 0, 1],
    ['no crash: no answer after acting', '', {fault => {kind => 'hang', before_acting => 0}}, 1, 1],
    ['no crash: no answer, not acted', '',   {fault => {kind => 'hang'}}, 0, 1],
);

# What the reader does; each returns the page on which they come to rest. Wherever Klarna's button is there, it is pressed.
our %READERS = (
    'the same form again' => sub ($crash, $case) {
        return $case->{sale}->client->follow($case->{sale}->authorize($case->{page}, token => $case->{token}));
    },
    'another token in the same session' => sub ($crash, $case) {
        return $case->{sale}->client->follow($case->{sale}->authorize($case->{page}, token => $crash->approve($case->{page})));
    },
    'purchase page' => sub ($crash, $case) {
        return $case->{sale}->client->follow($case->{sale}->client->navigate("/payway/purchase/$case->{id}"));
    },
    'confirmation' => sub ($crash, $case) {
        return $case->{sale}->client->follow($case->{sale}->client->navigate("/payway/confirm/$case->{id}"));
    },
    'state'       => sub ($crash, $case) { return $case->{sale}->client->get("/payway/purchase/$case->{id}/state") },
    'presses buy' => sub ($crash, $case) { return buys($crash, $case->{sale}) },
    'a second browser' => sub ($crash, $case) { return buys($crash, $case->{elsewhere} //= $crash->login($case)) },
    'another title' => sub ($crash, $case) { return buys($crash, $case->{other} //= $crash->login($case, $crash->{url2})) },
    'nobody'        => undef,
);

# Buys if anybody lets them: from the article to the end.
sub buys ($crash, $sale) {
    my $page = $sale->client->follow($sale->client->navigate('/premium/a.html'));
    $page = $sale->press($page) if $page->body =~ /data-offer="digital"/;
    # The article is open, and the wall of before is still in a tab.
    $page = $sale->press($sale->{wall}) if $page->body =~ /SENTINEL/ && $sale->{wall};
    return $page unless $page->body =~ /data-client-token/;
    return $sale->client->follow($sale->authorize($page, token => $crash->approve($page)));
}

# Where a reader is, in a word or two.
sub place ($page) {
    return 'article'                       if $page->body =~ /SENTINEL/;
    return 'state ' . $page->json->{state} if $page->url =~ m{/state\z} && $page->status == 200;
    return 'confirmation'                  if $page->url =~ m{/payway/confirm/} && $page->status == 200;
    return "error $1"                      if $page->body =~ /data-error="(\w+)"/;
    return 'sells'                         if $page->body =~ /data-client-token/;
    return "waits $1"                      if $page->body =~ /data-state="(\w+)"/;
    return 'status ' . $page->status . ' at ' . $page->url;
}

sub run ($mode) {
    my $crash = PWK::Crash->new;
    $crash->sim->shape(authorization_check => $mode);
    $crash->server->allow_log(qr/PWK0146|PWK0152|PWK0149/);
    my $only = $ENV{PWK_CASE};
    for my $row (grep { !$only || $_->[0] =~ /$only/ } @CRASHES) {
        my ($name, $point, $upstream, $charged, $heard) = @$row;
        subtest($point ? "$point: $name" : $name => sub { one_crash($crash, $point, $upstream, $charged, $heard) });
    }
    return;
}

sub one_crash ($crash, $point, $upstream, $charged, $heard) {
    my $sim   = $crash->sim;
    my @cases = map { $crash->buyer(name => $_, reader => $READERS{$_}) } sort keys %READERS;
    # The wall that stands in a tab of another title, or of the second browser, since before.
    for my $case (@cases) {
        $case->{elsewhere} = $crash->login($case) if $case->{name} eq 'a second browser';
        $case->{other} = $crash->login($case, $crash->{url2}) if $case->{name} eq 'another title';
        $_->{wall} = $_->client->follow($_->client->navigate('/premium/a.html')) for grep {defined} @$case{qw(sale elsewhere other)};
    }
    # Payway shows the products later: until then it is the ledger that knows.
    $sim->shape(products_delay => 3600);
    $sim->clear_requests;
    $sim->fault(role => 'api', path => $ORDER, times => scalar @cases, %{$upstream->{fault}}) if $upstream->{fault};
    $sim->shape(%{$upstream->{shape}}) if $upstream->{shape};

    my $dies = $point && $point ne 'P11';
    $crash->order("point $point - gather " . @cases) if $dies;
    $crash->begin($_) for @cases;
    $crash->wait_until_ordered if $dies;
    my @answers = map { $crash->answer($_) // () } @cases;
    is scalar @answers, $dies ? 0 : @cases, $dies ? 'nobody is answered' : 'everybody is answered';
    $crash->kill_children if $point;
    # Half an order never becomes one; what was sent whole arrives although nobody waits for the answer.
    $crash->wait_for(sub { $crash->orders >= $heard * @cases }, 'the orders to arrive');
    $sim->clear_faults;
    $sim->shape(order_error => '');
    is_deeply [$crash->charges(@cases)], [($charged) x @cases], 'charged: ' . ($charged ? 'each' : 'none');
    is_deeply [$crash->orders_of(@cases)], [($heard) x @cases], "orders of each that Payway heard: $heard";

    for my $phase ('at once', 'past the deadline') {
        $crash->sql("UPDATE payway_purchase SET due = 1 WHERE state = 'placing'") if $phase ne 'at once';
        my %state = $crash->states;
        for my $case (grep { $_->{reader} } @cases) {
            my $before = $state{$case->{id}};
            my $page   = $case->{reader}->($crash, $case);
            my $word   = place($page);
            diag "$phase: $case->{name} ($before): $word -> " . $crash->state_of($case) if $ENV{PWK_SHOW};
            like $word, expected($before, $case->{name}), "$phase, $before: $case->{name}";
        }
    }
    settle($crash, @cases);
    # A browser that has just been told that it must pay is looked at again a little later (PWK_WALL_RECHECK_S).
    $crash->clock(11);
    for my $case ($charged ? @cases : ()) {
        is $case->{sale}->client->get('/premium/a.html')->status, 200, "$case->{name}: the article is open to whoever was charged";
    }
    $crash->clock(0);
    # Whoever was not charged may buy: that was the proof. Not in the browser that was let in while we were finding out, and
    # is for a while longer.
    my @charges = $crash->charges(@cases);
    for my $case (map { $charges[$_] ? () : $cases[$_] } keys @cases) {
        like place(buys($crash, $crash->login($case))), qr/\Aconfirmation\z/, "$case->{name}: not charged, buys again";
    }
    is_deeply [$crash->charges(@cases)], [(1) x @cases], 'in the end each was charged once';
    is_deeply [$crash->violations(@cases)], [], 'and the books agree';
    $sim->shape(products_delay => 0);
    return;
}

# Where the reader comes to rest when the purchase was in that state.
sub expected ($state, $reader) {
    my $runs = $state =~ /placing|unknown|placed|confirmed/;
    return qr/\A(?:error (?:running|already_bought|already_owned)|article)\z/                  if $reader eq 'another title' && $runs;
    return qr/\Astate $state\z|\Astate (?:unknown|placed|confirmed)\z/ if $reader eq 'state';
    return qr/\A(?:waits (?:placing|unknown)|confirmation|article)\z/ if $state =~ /placing|unknown/;
    return qr/\A(?:confirmation|article)\z/                           if $state =~ /placed|confirmed/;
    return qr/\A(?:confirmation|article|error already_owned)\z/ if $reader eq 'another title';
    return qr/\A(?:sells|confirmation)\z/                       if $state eq 'created';
    return qr/\A(?:error payment_failed|confirmation|article)\z/;
}

# All is found out, and nobody comes back for it: past the deadline, and after an hour where there is no order.
sub settle ($crash, @cases) {
    my $undecided = sub { my %state = $crash->states; return grep { $state{$_->{id}} =~ /placing|unknown/ } @cases };
    $crash->sql("UPDATE payway_purchase SET due = 1, next_look = 1 WHERE state = 'placing'");
    my %charged;
    @charged{map { $_->{id} } @cases} = $crash->charges(@cases);
    ok eval { $crash->wait_for(sub { !grep { $charged{$_->{id}} } $undecided->() }, 'the orders to be found'); 1 }, 'whoever was charged: found out';
    for my $case ($undecided->()) {
        $crash->sql("UPDATE payway_purchase SET looked = 0, negatives = 5, changed = changed - 910 WHERE id = '$case->{id}'");
        is $case->{sale}->state($case->{id})->{state}, 'unknown', "$case->{name}: nothing is proven within the hour";
    }
    $crash->sql('UPDATE payway_purchase SET claimed = claimed - 3960, changed = changed - 910, negatives = 2, looked = 0, next_look = 1'
        . " WHERE state = 'unknown'");
    ok eval { $crash->wait_for(sub { !$undecided->() }, 'an end'); 1 }, 'whoever was not: absent after it'
        or diag map {"$_->{name}: " . $crash->state_of($_) . "\n"} $undecided->();
    return;
}

1;
