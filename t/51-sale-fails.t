#!/usr/bin/perl

# Purchases that do not go well: what Payway refuses, what it breaks off, what is lost on the way. Each ends on a page that
# is honest about money, in the reader's language; nothing is sent twice, nobody is charged for nothing, and whoever was
# charged reads.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Proxy ();
use PWK::Sale  ();
use PWK::Test;
use Time::HiRes qw(sleep time);

my $API = '/external/api/v1/klarna_payments';
my ($sim, $server) = paywall(
    sells      => 1,
    seed       => {packages => [map { {organisation => $PWK::Test::ORGANISATION, %$_} }
        {code => 'example_digital', name => 'Exempel Digital', products => ['example_web'],
            periods => [{id => $PWK::Test::PERIOD, price => 149}, {id => '5f0d9ea795cfebfb8544ab13', iteration_type => 'year', price => 1490}]},
        {code => 'example_bundle', name => 'Paket', products => ['example_web'], periods => [{id => '5f0d9ea795cfebfb8544ab15', price => 399}]},
        {code => 'example_paper', name => 'Papper', products => ['example_paper'], periods => [{id => '5f0d9ea795cfebfb8544ab16', price => 399}]},
    ]},
    directives => <<~'MORE',
        PaywayTimeout      2s 1s
        PaywayOrderTimeout 2s
        PaywayOffer bundle code=example_bundle products=example_web
        PaywayOffer choice code=example_digital products=example_web "price=från 149 kr"
        PaywayOffer later  code=example_paper products=example_paper start=+30d
        <Location /premium>
            PaywayOffers digital bundle
        </Location>
        <Location /choice>
            AuthType Payway
            Require  payway-product example_web
            PaywayOffers choice
        </Location>
        <Location /later>
            AuthType Payway
            Require  payway-product example_paper
        </Location>
        <Location /raise>
            PaywayOffers digital
            AuthType Payway
            Require  payway-product example_web
            PaywayRaiseOnSsnAlreadySetError On
            PaywayRaiseOnAccountUpdateError On
            PaywayRaiseOnDeliveryAddressError On
        </Location>
        MORE
);
$server->file('docroot/raise/a.html', "SENTINEL-RAISE\n");
my $n = 0;

sub buyer (%account) {
    my $password = PWK::Server::random_text(9);
    my $email    = 'buyer' . ++$n . '@example.se';
    my $account  = $sim->new_account({email => $email, password => $password, organisation => $PWK::Test::ORGANISATION, %account});
    my $client   = PWK::Client->new(base => $server->url);
    log_in($client, {email => $email, password => $password});
    return (PWK::Sale->new(sim => $sim, client => $client), $client, $account->{id});
}
# The same reader in a browser of another place.
sub buyer_again ($account) {
    my ($books) = grep { $_->{id} eq $account } @{$sim->books->{accounts}};
    my $password = PWK::Server::random_text(9);
    $sim->account($account, {password => $password});
    my $client = PWK::Client->new(base => $server->url);
    log_in($client, {email => $books->{email}, password => $password});
    return $client;
}

# What the ledger holds; and time, which a test lets pass by changing it.
sub sql ($statement) {
    my $said = `sqlite3 -cmd '.timeout 5000' '@{[$server->path('run/ledger.db')]}' "$statement"`;
    return $said =~ s/\n\z//r;
}
sub calls ($path) { return grep { $_->{path} eq "$API/$path" } $sim->requests(role => 'api') }
sub charges ($account) { return scalar grep { $_->{account} eq $account } $sim->charges }
sub error_of ($page) { return $page->body =~ /data-error="(\w+)"/ ? $1 : '' }
sub title_of ($page) { return $page->body =~ m{<h1[^>]*>(.*?)</h1>}s ? $1 : '' }
sub face_of ($page)  { return $page->body =~ /data-face="(\w+)"/ ? $1 : '' }

sub until_ok ($condition, $name, $seconds = 15) {
    my $end = time + $seconds;
    until ($condition->()) {
        return fail $name if time > $end;
        sleep 0.1;
    }
    return pass $name;
}

# code of Payway, status, word of the page, face
my @REFUSALS = (
    ['ssn_already_taken_error',   400, 'ssn_taken',        'not_completed'],
    ['ssn_already_set_error',     400, 'ssn_set',          'not_completed'],
    ['account_update_error',      400, 'account_update',   'not_completed'],
    ['delivery_address_error',    400, 'delivery_address', 'not_completed'],
    ['payment_declined',          400, 'payment_failed',   'not_completed'],
    ['payment_method_failed',     403, 'payment_failed',   'not_completed'],
    ['campaign_already_purchased', 400, 'already_bought',  'refused'],
    ['package_already_active',    400, 'already_bought',   'refused'],
    ['campaign_purchase_rules_does_not_permit_purchase', 400, 'not_permitted', 'refused'],
    ['invalid_parameter',         400, 'order_refused',    'refused'],
    ['unknown_parameter',         400, 'order_refused',    'refused'],
    ['json_parser_error',         400, 'order_refused',    'refused'],
    ['invalid_content_type_error', 400, 'order_refused',   'refused'],
    ['not_found',                 404, 'order_refused',    'refused'],
    ['something_new',             400, 'order_refused',    'refused'],
);

subtest 'every code has its page, in both languages' => sub {
    my %title;
    for my $case (@REFUSALS) {
        my ($code, $status, $word, $face) = @$case;
        my ($sale, $client, $account) = buyer();
        my $page = $sale->press('/premium/a.html');
        my $mark = $server->mark;
        $sim->shape(order_error => $code, order_error_status => $status);
        my $end = $client->follow($sale->authorize($page));
        $sim->shape(order_error => '');
        is error_of($end), $word, "$code: the page";
        is face_of($end), $face, "$code: says what it means for the money";
        for my $language (qw(sv en)) {
            my $there = $client->get("/payway/purchase/" . PWK::Sale::id($page) . "?lang=$language");
            is error_of($there), $word, "$code: and stays so ($language)";
            ok length title_of($there), "$code: has a title";
            $title{$language}{title_of($there)}{$word} = 1;
        }
        my ($line) = grep {/PWK0154/} split /\n/, $server->log_since($mark);
        like $line // '', qr/\Q@{[PWK::Sale::id($page)]}\E.*code=$code\b.*status=$status/, "$code: the log has code and purchase";
        unlike $line // '', qr/buyer|example\.se/, "$code: and no person";
        is charges($account), 0, "$code: no charge";
        is $client->get('/premium/a.html')->status, 402, "$code: closed";
        my $again = $sale->press('/premium/a.html');
        isnt PWK::Sale::id($again), PWK::Sale::id($page), "$code: the next try";
        isnt PWK::Sale::session($again), PWK::Sale::session($page), "$code: has a session of its own";
    }
    for my $language (qw(sv en)) {
        is_deeply [grep { keys %{$title{$language}{$_}} > 1 } keys %{$title{$language}}], [], "$language: no two words share a title";
    }
    # The table of the source has no code that was not walked here.
    my $table = PWK::Server::slurp("$PWK::Server::SRCDIR/src/core/pwk_outcome.c");
    my %walked = map { ($_->[2] => 1) } @REFUSALS;
    my @words  = $table =~ /PWK_EVENT_\w+,\s*"(\w+)"\}/g;
    cmp_ok scalar(@words), '>', 8, 'the table was found';
    is_deeply [grep { !$walked{$_} && $_ ne 'order_absent' } @words], [], 'every word of the table was seen';
};

subtest 'a payment that failed: real conditions' => sub {
    for my $body (qw(code message)) {
        my ($sale, $client, $account) = buyer(products => ['example_paper']);
        $sim->klarna_person($account, {payment => 'failed'});
        $sim->shape(payment_failed_body => $body);
        $sim->clear_requests;
        my $end = $sale->whole('/premium/a.html');
        is error_of($end), 'payment_failed', "body with $body: the page";
        is charges($account), 0, 'no charge';
        like $end->body, qr{/v2/shop/example_digital\?}, 'the shop is the other way';
        my @reread = grep { $_->{path} =~ /active_products/ } $sim->requests(role => 'api', method => 'GET');
        cmp_ok scalar(@reread), '>=', 2, 'the products are read anew after it';
    }
    $sim->shape(payment_failed_body => 'code');
};

subtest 'raise_on: Payway breaks off where the publisher wants it' => sub {
    my ($sale, $client, $account) = buyer();
    $sim->klarna_person($account, {ssn => '194103219202'});
    is error_of($sale->whole('/premium/a.html')), '', 'a person of their own: bought';
    my ($twin, $other, $second) = buyer();
    $sim->klarna_person($second, {ssn => '194103219202'});
    is error_of($twin->whole('/premium/a.html')), 'ssn_taken', 'the same person on another account';
    for my $case (['bad_account_data', 'account_update'], ['bad_delivery_address', 'delivery_address']) {
        my ($flag, $word) = @$case;
        for my $path ('/premium/a.html', '/raise/a.html') {
            my ($sale, $client, $account) = buyer();
            $sim->klarna_person($account, {$flag => 1, given_name => 'Alice', family_name => 'Test'});
            is error_of($sale->whole($path)), $path =~ /raise/ ? $word : '', "$path: $flag";
            is charges($account), $path =~ /raise/ ? 0 : 1, 'charged accordingly';
        }
    }
};

subtest 'nobody listens when the order is due: nothing was sent' => sub {
    my ($own, $server) = paywall(sells => 1, start => 0);
    my $proxy = PWK::Proxy->start($own->api);
    $server->vars(API => $proxy->url);
    $server->start;
    my %login  = (email => 'unsent@example.se', password => PWK::Server::random_text(9));
    my $account = $own->new_account({%login, organisation => $PWK::Test::ORGANISATION})->{id};
    my $client = PWK::Client->new(base => $server->url);
    log_in($client, \%login);
    my $sale  = PWK::Sale->new(sim => $own, client => $client);
    my $page  = $sale->press('/premium/a.html');
    my $token = $own->authorize(PWK::Sale::session($page), category => 'pay_now');
    $own->clear_requests;
    $server->expect_log(qr/PWK0151/);
    $proxy->refuse;
    my $end = $client->follow($sale->authorize($page, token => $token));
    $proxy->accept;
    like $end->body, qr/data-notice="not_sent"/, 'the page says so, and to press again';
    is scalar(my @none = grep { $_->{method} eq 'POST' } $own->requests(role => 'api', path => $API)), 0, 'Payway heard nothing';
    is $sale->state(PWK::Sale::id($page))->{state}, 'created', 'the purchase is as it was';
    like $client->follow($sale->authorize($end, token => $token))->url, qr{/payway/confirm/}, 'the same authorization places it afterwards';
    is scalar(my @charges = $own->charges), 1, 'charged once';
};

subtest 'Payway does not let us' => sub {
    $server->expect_log(qr/PWK0153/);
    for my $case (['401', {kind => 'status', status => 401}, qr/PWK0153/], ['429', {kind => 'status', status => 429, retry_after => 5}, qr/PWK0154/],
        ['a scope that is gone', undef, qr/PWK0153/]) {
        my ($name, $fault, $line) = @$case;
        my ($sale, $client, $account) = buyer();
        my $page = $sale->press('/premium/a.html');
        my $mark = $server->mark;
        $fault ? $sim->fault(role => 'api', path => "$API/place_order", times => 1, %$fault)
            : $sim->shape(order_error => 'forbidden', order_error_status => 403);
        my $end = $client->follow($sale->authorize($page));
        $sim->shape(order_error => '');
        is error_of($end), 'order_refused', "$name: the page";
        is face_of($end), 'refused', "$name: nothing was charged";
        like $server->log_since($mark), $line, "$name: the log says what to do";
        is charges($account), 0, "$name: nor was it";
        like $sale->press('/premium/a.html')->body, qr/data-client-token/, "$name: the next press works";
    }
};

subtest 'products cannot be read: nothing is claimed' => sub {
    my ($sale, $client, $account) = buyer();
    my $page  = $sale->press('/premium/a.html');
    my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
    $server->allow_log(qr/PWK0030/);
    $sim->fault(role => 'api', path => '/external/api/v1/me/active_products', kind => 'status', status => 503, times => 1);
    $sim->clear_requests;
    my $end = $client->follow($sale->authorize($page, token => $token));
    like $end->body, qr/data-notice="unavailable"/, 'the page says that nothing was ordered';
    is scalar(my @none = calls('place_order')), 0, 'nor was it';
    is $sale->state(PWK::Sale::id($page))->{state}, 'created', 'the purchase is as it was';
    like $client->follow($sale->authorize($end, token => $token))->url, qr{/payway/confirm/}, 'the same authorization places it afterwards';
    is charges($account), 1, 'once';
};

subtest 'the answer is lost: found out, never sent again' => sub {
    $server->expect_log(qr/PWK0152/);
    for my $fault (
        ['cut after acting',  1, {kind => 'cut_after'}],
        ['half an answer',    1, {kind => 'cut_body'}],
        ['half of the JSON',  1, {kind => 'broken_json'}],
        ['another type',      1, {kind => 'wrong_content_type'}],
        ['500 after acting',  1, {kind => 'status', status => 500, before_acting => 0}],
        ['a page of a proxy under 403', 1, {kind => 'html', status => 403, before_acting => 0}],
        ['no answer in time', 1, {kind => 'hang', before_acting => 0}],
        ['8 MB',              1, {kind => 'oversize'}],
        ['302',               1, {kind => 'status', status => 302, location => 'https://evil.example/', before_acting => 0}],
        ['409 after acting',  1, {kind => 'status', status => 409, before_acting => 0}],
        ['cut before acting', 0, {kind => 'cut_before'}],
        ['502 before acting', 0, {kind => 'status', status => 502}],
    ) {
        my ($name, $charged, $how) = @$fault;
        my ($sale, $client, $account) = buyer();
        my $page = $sale->press('/premium/a.html');
        my $id   = PWK::Sale::id($page);
        $sim->shape(orders_delay => 3600, products_delay => 3600);
        $sim->clear_requests;
        $sim->fault(role => 'api', path => "$API/place_order", times => 1, %$how);
        my $answer = $sale->authorize($page);
        like $answer->location, qr{/payway/purchase/$id\z}, "$name: to the page that waits";
        my $wait = $client->follow($answer);
        is $wait->status, 200, "$name: it is there";
        like $wait->body, qr/data-state="unknown"/, "$name: says that we are finding out";
        is $client->get('/premium/a.html')->status, 200, "$name: the article is open meanwhile";
        is $client->follow($sale->authorize($page))->url, $wait->url, "$name: pressing again leads to the same page";
        $sim->shape(orders_delay => 0, products_delay => 0);
        $server->allow_log(qr/PWK0030/);
        if ($charged) {
            until_ok(sub { $sale->state($id)->{state} =~ /placed|confirmed/ }, "$name: found out");
            like $client->follow($client->navigate("/payway/purchase/$id"))->body, qr/EXAMPLE-\d+/, "$name: the confirmation has the order";
            is $client->get('/premium/a.html')->status, 200, "$name: reads";
        }
        else {
            is $sale->state($id)->{state}, 'unknown', "$name: one look does not prove that there is none";
        }
        is scalar(my @sent = calls('place_order')), 1, "$name: sent once";
        is charges($account), $charged, "$name: charged " . ($charged ? 'once' : 'never');
    }
};

subtest 'the order is on a later page of the list; or the list is no list' => sub {
    my ($sale, $client, $account) = buyer();
    $sim->shape(orders_page_size => 1, orders_first => 'oldest', products_delay => 3600);
    like $sale->whole('/later/a.html', 'later')->url, qr{/confirm/}, 'an older order';
    my $page = $sale->press('/premium/a.html');
    my $id   = PWK::Sale::id($page);
    $sim->fault(role => 'api', path => "$API/place_order", times => 1, kind => 'cut_after');
    $sale->authorize($page);
    until_ok(sub { $sale->state($id)->{state} eq 'placed' }, 'found behind it');
    $sim->shape(orders_page_size => 0);

    my ($second, $browser) = buyer();
    $page = $second->press('/premium/a.html');
    $sim->fault(role => 'api', path => "$API/place_order", times => 1, kind => 'cut_after');
    $second->authorize($page);
    my $fault = $sim->fault(role => 'api', path => '/external/api/v1/order', kind => 'status', status => 404);
    $second->state(PWK::Sale::id($page));
    is sql("SELECT state, negatives FROM payway_purchase WHERE id = '@{[PWK::Sale::id($page)]}'"), 'unknown|0', 'a 404 proves nothing';
    $sim->clear_faults($fault);
    $sim->shape(products_delay => 0);
};

subtest 'what starts later blocks nothing, however it was found out' => sub {
    my ($sale, $client) = buyer();
    my $page = $sale->press('/later/a.html', 'later');
    $sim->fault(role => 'api', path => "$API/place_order", times => 1, kind => 'cut_after');
    $sale->authorize($page);
    until_ok(sub { $sale->state(PWK::Sale::id($page))->{state} eq 'confirmed' }, 'found, and nothing is waited for');
    like $sale->press('/premium/a.html')->body, qr/data-client-token/, 'another thing can be bought';
};

subtest 'nobody can find it out: an operator has to' => sub {
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    my $id   = PWK::Sale::id($page);
    $sim->fault(role => 'api', path => "$API/place_order", times => 1, kind => 'cut_before');
    $sale->authorize($page);
    my $fault = $sim->fault(role => 'api', path => '/external/api/v1/order', kind => 'status', status => 403);
    $server->expect_log(qr/PWK0032/, qr/PWK0156/);
    sql("UPDATE payway_purchase SET claimed = claimed - 172800, grant_until = grant_until - 172800, looked = 0 WHERE id = '$id'");
    is $sale->state($id)->{state}, 'manual', 'two days later: an alarm';
    like $client->get("/payway/purchase/$id")->body, qr/data-state="manual"/, 'and a page that says so';
    $sim->clear_faults($fault);
};

subtest 'absent: three readings and an hour' => sub {
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    my $id   = PWK::Sale::id($page);
    $sim->fault(role => 'api', path => "$API/place_order", times => 1, kind => 'cut_before');
    $sale->authorize($page);
    for my $reading (1 .. 4) {
        sql("UPDATE payway_purchase SET looked = 0, changed = changed - 910 WHERE id = '$id'");
        is $sale->state($id)->{state}, 'unknown', "reading $reading within the hour: nothing is proven";
    }
    sql("UPDATE payway_purchase SET claimed = claimed - 3960, looked = 0, changed = changed - 910 WHERE id = '$id'");
    is $sale->state($id)->{state}, 'failed', 'after it: there is none';
    is error_of($client->get("/payway/purchase/$id")), 'order_absent', 'an honest page';
    like $sale->press('/premium/a.html')->body, qr/data-client-token/, 'and another try';
    is charges($account), 0, 'no charge';
};

subtest 'the child that placed it was killed' => sub {
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    my $id   = PWK::Sale::id($page);
    $sim->shape(products_delay => 3600);
    $sim->fault(role => 'api', path => "$API/place_order", kind => 'delay', seconds => 1.5, times => 1, before_acting => 0);
    my $pid = fork // die "fork: $!";
    if (!$pid) { eval { $sale->authorize($page) }; require POSIX; POSIX::_exit(0) }
    until_ok(sub { sql("SELECT state FROM payway_purchase WHERE id = '$id'") eq 'placing' }, 'it is placing');
    sleep 0.3;
    $server->allow_log(qr/AH0005[0-2]|AH00045/);
    kill KILL => split ' ', `pgrep -P @{[$server->pid]}`;
    waitpid $pid, 0;
    until_ok(sub { eval { $client->get('/')->status == 200 } }, 'another child serves');
    sql("UPDATE payway_purchase SET due = 1 WHERE id = '$id'");
    my $elsewhere = buyer_again($account);
    is $elsewhere->get('/premium/a.html')->status, 200, 'past its deadline the article is open, without a look at any page of ours';
    until_ok(sub { $sale->state($id)->{state} eq 'placed' }, 'and the order is found');
    is charges($account), 1, 'charged once';
    $sim->shape(products_delay => 0);
} if ($ENV{PWK_MPM} // 'event') eq 'event';

subtest 'two tabs, two offers of one product: the second knows of the first' => sub {
    my ($sale, $client, $account) = buyer();
    my $one = $sale->press('/premium/a.html');
    my $two = $sale->press('/premium/a.html', 'bundle');
    my @token = map { $sim->authorize(PWK::Sale::session($_), category => 'pay_now') } $one, $two;
    my $tab = $sale->twin;
    $sim->fault(role => 'api', path => '/external/api/v1/me/active_products', kind => 'delay', seconds => 2, times => 1, before_acting => 0);
    my $pid = fork // die "fork: $!";
    if (!$pid) { eval { $tab->authorize($two, token => $token[1]) }; require POSIX; POSIX::_exit(0) }
    sleep 0.5;    # the second tab has asked for the products
    like $client->follow($sale->authorize($one, token => $token[0]))->url, qr{/confirm/}, 'the first is bought meanwhile';
    until_ok(sub { $sale->state(PWK::Sale::id($one))->{state} eq 'confirmed' }, 'and confirmed');
    waitpid $pid, 0;
    is charges($account), 1, 'the second is not placed on old news';
    is error_of($client->get('/payway/purchase/' . PWK::Sale::id($two))), 'already_owned', 'and says why';
};

subtest 'Payway shows the products half an hour later' => sub {
    my ($sale, $client, $account) = buyer();
    $sim->shape(products_delay => 1800);
    my $end = $sale->whole('/premium/a.html');
    like $end->url, qr{/payway/confirm/}, 'bought';
    is $client->get('/premium/a.html')->status, 200, 'reads at once';
    my $elsewhere = buyer_again($account);
    is $elsewhere->get('/premium/a.html')->status, 200, 'reads elsewhere too';
    is $sale->state(PWK::Sale::id($end))->{state}, 'placed', 'not confirmed yet';
    $sim->shape(products_delay => 0);
    $client->get('/payway/confirm/' . PWK::Sale::id($end));
    until_ok(sub { $sale->state(PWK::Sale::id($end))->{state} eq 'confirmed' }, 'confirmed once Payway shows them');
};

subtest 'the browser died before it was answered' => sub {
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    my $dead = $sale->twin;
    $sim->shape(products_delay => 1800);
    $dead->authorize($page);
    # The cookies that the answer set never arrived here.
    is $client->get('/premium/a.html')->status, 200, 'the article is open';
    like $client->follow($client->navigate($page->url))->url, qr{/payway/confirm/}, 'and the purchase page leads to the confirmation';
    $sim->shape(products_delay => 0);
    is charges($account), 1, 'charged once';
};

subtest 'the browser died, and the cache forgot what it knew' => sub {
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    my $id   = PWK::Sale::id($page);
    my $dead = $sale->twin;
    $dead->client->follow($dead->authorize($page));
    until_ok(sub { $dead->state($id)->{state} eq 'confirmed' }, 'Payway shows the products');
    $server->graceful;
    # The wall asks about a reader every ten seconds at most, and has just asked.
    like $client->follow($client->navigate("/payway/purchase/$id"))->url, qr{/payway/confirm/}, 'the confirmation';
    is $client->get('/premium/a.html')->status, 200, 'opens the article';
};

subtest 'who has it already is not sold it' => sub {
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    $sim->account($account, {products => ['example_web']});    # bought elsewhere meanwhile
    $sim->clear_requests;
    my $end = $client->follow($sale->authorize($page));
    is error_of($end), 'already_owned', 'a friendly page';
    is scalar(my @none = calls('place_order')), 0, 'nothing was placed';
    is $client->get('/premium/a.html')->status, 200, 'reads';
};

subtest 'two tabs, a replayed form, a replayed token' => sub {
    my ($sale, $client, $account) = buyer();
    my $page  = $sale->press('/premium/a.html');
    my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
    $sim->clear_requests;
    my $first = $sale->authorize($page, token => $token);
    for my $other ($token, 'another-token') {
        is $sale->authorize($page, token => $other)->location, $first->location, 'the same form again: the same answer';
    }
    like $client->follow($client->navigate($page->url))->url, qr{/payway/confirm/}, 'Back and Reload: the confirmation';
    is scalar(my @one = calls('place_order')), 1, 'sent once';
    is charges($account), 1, 'charged once';

    my ($thief, $browser, $victim) = buyer();
    my $theirs = $thief->press('/premium/a.html');
    my $answer = $thief->authorize($theirs, token => $token);
    is scalar(my @still = calls('place_order')), 1, 'a token that was used is not sent again by anybody';
    is charges($victim), 0, 'and nobody is charged';
};

subtest 'whose purchase it is' => sub {
    my ($sale, $client) = buyer();
    my ($other, $stranger) = buyer();
    my $page = $sale->press('/premium/a.html');
    my $id   = PWK::Sale::id($page);
    my $nobody = PWK::Client->new(base => $server->url);
    for my $what ('purchase', 'confirm') {
        is $stranger->get("/payway/$what/$id")->status, 404, "another reader: $what is not there";
        is $stranger->get("/payway/$what/" . 'f' x 32)->status, 404, "nor is one that does not exist";
        like $nobody->get("/payway/$what/$id")->location, qr{/payway/login\?r=%2Fpayway%2F$what%2F$id\z}, 'nobody: to log in';
    }
    is $stranger->get("/payway/purchase/$id/state")->status, 404, 'nor its state';
    is $nobody->get("/payway/purchase/$id/state")->status, 404, 'nobody sees it either';
    $sim->clear_requests;
    is $stranger->post_form("/payway/authorize/$id", PWK::Sale::authorization($page, 'x'))->status, 404, 'nor can another place it';
    my %form = %{PWK::Sale::authorization($page, 'some-token')};
    my ($second) = $sale->press('/raise/a.html');
    for my $case (
        ['no token',           403, {%form, csrf => undef}],
        ['a wrong token',      403, {%form, csrf => 'x' x 43}],
        ['the token of logout', 403, {%form, csrf => PWK::Sale::field($client->get('/payway/logout'), 'csrf')}],
        ['an unknown field',   400, {%form, klarna_payments_session_id => 'evil'}],
        ['no authorization',   400, {%form, klarna_authorization_token => undef}],
        ['an empty one',       400, {%form, klarna_authorization_token => ''}],
        ['one with a space',   400, {%form, klarna_authorization_token => 'a b'}],
        ['one too long',       400, {%form, klarna_authorization_token => 'x' x 1025}],
        ['another site',       403, \%form, 'Sec-Fetch-Site' => 'cross-site'],
        ['a sibling',          403, \%form, 'Sec-Fetch-Site' => 'same-site'],
        ['another origin',     403, \%form, 'Sec-Fetch-Site' => undef, Origin => 'https://evil.example'],
        ['no origin',          403, \%form, 'Sec-Fetch-Site' => undef, Origin => undef],
        ['JSON',               415, \%form, 'Content-Type' => 'application/json'],
    ) {
        my ($name, $status, $fields, @headers) = @$case;
        my %given = map { defined $fields->{$_} ? ($_ => $fields->{$_}) : () } keys %$fields;
        is $client->post_form("/payway/authorize/$id", \%given, @headers)->status, $status, $name;
    }
    is $client->get("/payway/authorize/$id")->status, 405, 'GET places nothing';
    is scalar(my @none = grep { $_->{method} eq 'POST' && $_->{path} =~ /place/ } $sim->requests), 0, 'and Payway heard of none of it';
};

subtest 'create_session fails' => sub {
    my ($sale, $client) = buyer();
    $server->expect_log(qr/PWK0142/);
    $sim->shape(session_error => 'invalid_parameter');
    my $page = $sale->press('/premium/a.html');
    is error_of($page), 'sale_refused', 'refused: an honest page';
    like $page->body, qr{/v2/shop/example_digital\?}, 'and the shop';
    $sim->shape(session_error => '');
    for my $fault ({kind => 'status', status => 500}, {kind => 'hang'}, {kind => 'html'}, {kind => 'empty'}) {
        $sim->fault(role => 'api', path => "$API/create_session", times => 1, %$fault);
        my $page = $sale->press('/premium/a.html');
        is error_of($page), 'sale_unavailable', "$fault->{kind}: an honest page";
        is $page->status, 503, "$fault->{kind}: status";
    }
    like $sale->press('/premium/a.html')->body, qr/data-client-token/, 'afterwards it works';
};

subtest 'a period that was chosen is never another' => sub {
    my ($sale, $client, $account) = buyer();
    my $wall = $client->follow($client->navigate('/choice/a.html'));
    $server->restart;
    my @faults = map { $sim->fault(role => 'api', path => "/external/api/$_", kind => 'status', status => 503) }
        'v2/klarna_payments/payment_periods', 'v2/products';
    $sim->clear_requests;
    is error_of($sale->press($wall, 'choice', period => '5f0d9ea795cfebfb8544ab13')), 'sale_unavailable', 'no prices at hand: nothing is sold';
    is scalar(my @none = grep { $_->{path} =~ /create_session/ } $sim->requests(role => 'api')), 0, 'and no session made';
    $sim->clear_faults($_) for @faults;
};

done_testing;
