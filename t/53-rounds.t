#!/usr/bin/perl

# What goes on without a reader: a lost answer is found out, a deadline passes, an operator is called, old rows go; hosts that
# share a ledger do not ask twice; and a ledger that fails closes the shop, not the site.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Sale ();
use PWK::Test;
use Time::HiRes qw(sleep time);

my $API = '/external/api/v1/klarna_payments';
my ($sim, $server) = paywall(
    sells      => 1,
    seed       => {packages => [map { {organisation => $PWK::Test::ORGANISATION, %$_} }
        {code => 'example_digital', name => 'Exempel Digital', products => ['example_web'], periods => [{id => $PWK::Test::PERIOD, price => 149}]},
    ]},
    directives => "PaywayTimeout 2s 1s\nPaywayOrderTimeout 2s\n",
);
my $n = 0;

sub buyer (%account) {
    my %login  = (email => 'buyer' . ++$n . '@example.se', password => PWK::Server::random_text(9));
    my $id     = $sim->new_account({%login, organisation => $PWK::Test::ORGANISATION, %account})->{id};
    my $client = PWK::Client->new(base => $server->url);
    log_in($client, \%login);
    return (PWK::Sale->new(sim => $sim, client => $client), $client, $id, \%login);
}

sub sql ($statement) {
    my $said = `sqlite3 -cmd '.timeout 5000' '@{[$server->path('run/ledger.db')]}' "$statement"`;
    return $said =~ s/\n\z//r;
}
sub state_of ($id) { return sql("SELECT state FROM payway_purchase WHERE id = '$id'") }
sub charges ($account) { return scalar grep { $_->{account} eq $account } $sim->charges }
sub lists ($account) { return scalar grep { ($_->{query}{account_id} // '') eq $account } $sim->requests(role => 'api', path => '/external/api/v1/order') }

sub until_ok ($condition, $name, $seconds = 20) {
    my $end = time + $seconds;
    until ($condition->()) {
        return fail $name if time > $end;
        sleep 0.1;
    }
    return pass $name;
}

# A purchase whose answer was lost: (id, sale, client, account). The buyer closes the browser.
sub lost (%how) {
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    $server->expect_log(qr/PWK0152/);
    $sim->fault(role => 'api', path => "$API/place_order", times => 1, %how);
    $sale->authorize($page);
    return (PWK::Sale::id($page), $sale, $client, $account);
}
# Lets `$seconds` pass for one purchase.
sub age ($id, $seconds) {
    sql("UPDATE payway_purchase SET claimed = claimed - $seconds, grant_until = grant_until - $seconds, changed = changed - $seconds,"
        . " looked = looked - $seconds, next_look = 1 WHERE id = '$id'");
}

subtest 'charged, and nobody comes back' => sub {
    my ($id, $sale, $client, $account) = lost(kind => 'cut_after');
    until_ok(sub { state_of($id) eq 'confirmed' }, 'found out, and shown');
    is charges($account), 1, 'charged once';
    like sql("SELECT order_id FROM payway_purchase WHERE id = '$id'"), qr/\AEXAMPLE-\d+\z/, 'the ledger has the order';
    is sql("SELECT next_look FROM payway_purchase WHERE id = '$id'"), 0, 'nobody looks any more';
    is $client->get('/premium/a.html')->status, 200, 'the reader who comes back reads';
};

subtest 'charged, the answer never came, and the reader goes straight to the article' => sub {
    my ($sale, $client, $account, $login) = buyer();
    my $page  = $sale->press('/premium/a.html');
    my $other = PWK::Client->new(base => $server->url);
    log_in($other, $login);    # another browser, whose record is a moment old
    is $other->get('/premium/a.html')->status, 402, 'closed before';
    $sim->shape(products_delay => 3600);
    $sale->authorize($page);
    is $other->get('/premium/a.html')->status, 200, 'open at once after it';
    $sim->shape(products_delay => 0);
    is charges($account), 1, 'charged once';
};

subtest 'the order shows up late' => sub {
    $sim->shape(orders_delay => 6);
    my ($id, $sale, $client, $account) = lost(kind => 'cut_after');
    until_ok(sub { state_of($id) =~ /placed|confirmed/ }, 'found on a later look');
    cmp_ok lists($account), '<=', 4, 'with few questions';
    $sim->shape(orders_delay => 0);
};

subtest 'not charged, and nobody comes back' => sub {
    my ($id, $sale, $client, $account) = lost(kind => 'cut_before');
    for my $reading (1 .. 3) {
        my $before = sql("SELECT negatives FROM payway_purchase WHERE id = '$id'");
        age($id, $reading < 3 ? 910 : 3900);
        $reading < 3
            ? until_ok(sub { sql("SELECT negatives FROM payway_purchase WHERE id = '$id'") > $before }, "reading $reading counts")
            : until_ok(sub { state_of($id) eq 'failed' }, 'after an hour: there is none');
    }
    is sql("SELECT error FROM payway_purchase WHERE id = '$id'"), 'order_absent', 'the ledger says why';
    is charges($account), 0, 'no charge';
    like $client->get("/payway/purchase/$id")->body, qr/data-error="order_absent"/, 'the reader is told so';
    like $sale->press('/premium/a.html')->body, qr/data-client-token/, 'and may buy';
};

subtest 'readings that do not lie apart prove nothing: the clock may have jumped' => sub {
    my ($id) = lost(kind => 'cut_before');
    age($id, 90_000);    # as if the clock had jumped by more than a day
    until_ok(sub { sql("SELECT negatives FROM payway_purchase WHERE id = '$id'") == 1 }, 'one reading');
    for (1 .. 3) {
        my $looked = sql("SELECT looked FROM payway_purchase WHERE id = '$id'");
        sql("UPDATE payway_purchase SET looked = looked - 10, next_look = 1 WHERE id = '$id'");
        until_ok(sub { sql("SELECT looked FROM payway_purchase WHERE id = '$id'") >= $looked }, 'it was looked at');
    }
    is sql("SELECT state, negatives FROM payway_purchase WHERE id = '$id'"), 'unknown|1', 'still one';
    sql("UPDATE payway_purchase SET state = 'failed', next_look = 0 WHERE id = '$id'");
};

subtest 'a clock that was set back stops nothing' => sub {
    my ($id, $sale, $client, $account) = lost(kind => 'cut_after', seconds => 0);
    sql("UPDATE payway_purchase SET state = 'unknown', claimed = claimed + 86400, changed = changed + 86400, looked = looked + 86400,"
        . " next_look = next_look + 86400, grant_from = grant_from + 86400, grant_until = grant_until + 86400 WHERE id = '$id'");
    until_ok(sub { state_of($id) =~ /placed|confirmed/ }, 'the order is found all the same');
    is charges($account), 1, 'once';
};

subtest 'whoever placed it is gone' => sub {
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    my $id   = PWK::Sale::id($page);
    $sim->fault(role => 'api', path => "$API/place_order", kind => 'delay', seconds => 1.5, times => 1, before_acting => 0);
    my $pid = fork // die "fork: $!";
    if (!$pid) { eval { $sale->authorize($page) }; require POSIX; POSIX::_exit(0) }
    until_ok(sub { state_of($id) eq 'placing' }, 'it is placing');
    sleep 0.3;
    $server->expect_log(qr/PWK0146/);
    $server->allow_log(qr/AH0005[0-2]|AH00045/);
    kill KILL => split ' ', `pgrep -P @{[$server->pid]}`;
    waitpid $pid, 0;
    sql("UPDATE payway_purchase SET due = 1, next_look = 1 WHERE id = '$id'");
    # Whoever held the watchdog's lock was killed: another takes it over after about ten seconds.
    until_ok(sub { state_of($id) =~ /placed|confirmed/ }, 'another child notices, and finds the order', 40);
    is charges($account), 1, 'charged once';
} if ($ENV{PWK_MPM} // 'event') eq 'event';

subtest 'Payway shows the products by and by, or not at all' => sub {
    my ($sale, $client, $account) = buyer();
    $sim->shape(products_delay => 3600);
    my $id = PWK::Sale::id($sale->whole('/premium/a.html'));
    is state_of($id), 'placed', 'bought';
    $server->expect_log(qr/PWK0140/);
    my $mark = $server->mark;
    sql("UPDATE payway_purchase SET grant_from = grant_from - 1000, looked = looked - 10, next_look = 1 WHERE id = '$id'");
    ok $server->wait_for_log(qr/PWK0140.*\Q$id\E/, $mark), 'after a quarter of an hour somebody is told';
    $sim->shape(products_delay => 0);
    sql("UPDATE payway_purchase SET looked = looked - 10, next_look = 1 WHERE id = '$id'");
    until_ok(sub { state_of($id) eq 'confirmed' }, 'confirmed without a visit');
    is sql("SELECT shown FROM payway_purchase WHERE id = '$id'"), 1, 'and noted as shown, in one write';
    # Whoever noted that was cut off before it was confirmed, as an older version could be.
    sql("UPDATE payway_purchase SET state = 'placed', looked = looked - 10, next_look = 1 WHERE id = '$id'");
    until_ok(sub { state_of($id) eq 'confirmed' }, 'one that was left half done is confirmed too');
};

subtest 'a session that nobody used' => sub {
    my ($sale) = buyer();
    my $id = PWK::Sale::id($sale->press('/premium/a.html'));
    sql("UPDATE payway_purchase SET expires = 1, next_look = 1 WHERE id = '$id'");
    until_ok(sub { state_of($id) eq 'expired' }, 'is over');
};

subtest 'Payway said that it was not completed, and has the order' => sub {
    my ($id, $sale, $client, $account) = lost(kind => 'cut_after');
    until_ok(sub { state_of($id) eq 'confirmed' }, 'an order');
    # … whose answer had been: payment method failed
    $server->expect_log(qr/PWK0161/);
    my $mark = $server->mark;
    sql("UPDATE payway_purchase SET state = 'failed', error = 'payment_method_failed', order_id = '', looked = 1, next_look = 1 WHERE id = '$id'");
    like $server->wait_for_log(qr/PWK0161/, $mark) // '', qr/\Q$id\E.*EXAMPLE-\d+/, 'the alarm names purchase and order';
    like sql("SELECT state || ' ' || order_id FROM payway_purchase WHERE id = '$id'"), qr/\Afailed EXAMPLE-\d+\z/, 'and so does the ledger';

    my ($second, $browser, $other) = buyer();
    $sim->klarna_person($other, {payment => 'failed'});
    my $failed = PWK::Sale::id($second->whole('/premium/a.html'));
    $mark = $server->mark;
    sql("UPDATE payway_purchase SET next_look = 1 WHERE id = '$failed'");
    until_ok(sub { lists($other) == 1 }, 'one without an order is looked at too');
    until_ok(sub { sql("SELECT next_look > 1 FROM payway_purchase WHERE id = '$failed'") }, 'and once more later');
    unlike $server->log_since($mark), qr/PWK0161/, 'without an alarm';
};

subtest 'an operator has to' => sub {
    my $list = $sim->fault(role => 'api', path => '/external/api/v1/order', kind => 'status', status => 403);
    $sim->shape(products_delay => 3600);
    $server->expect_log(qr/PWK0032/, qr/PWK0156/);
    my ($id) = lost(kind => 'cut_before');
    age($id, 172_800);
    until_ok(sub { state_of($id) eq 'manual' }, 'two days later nobody can say');
    is sql("SELECT next_look FROM payway_purchase WHERE id = '$id'"), 0, 'and nobody asks any more';
    $sim->clear_faults($list);

    # An outage of Payway is waited for.
    my $outage = $sim->fault(role => 'api', path => '/external/api/v1/order', kind => 'status', status => 503);
    $server->expect_log(qr/PWK0030/);
    my ($other, $sale, $client, $account) = lost(kind => 'cut_after');
    age($other, 172_800);
    until_ok(sub { sql("SELECT next_look > 1 FROM payway_purchase WHERE id = '$other'") }, 'looked at during the outage');
    is state_of($other), 'unknown', 'is not given up because of it';
    $sim->clear_faults($outage);
    sql("UPDATE payway_purchase SET looked = looked - 10, next_look = 1 WHERE id = '$other'");
    until_ok(sub { state_of($other) =~ /placed|confirmed/ }, 'and found after it');
    $sim->shape(products_delay => 0);
};

subtest 'during an outage of Payway one question a round' => sub {
    my @id = map { (lost(kind => 'cut_before'))[0] } 1 .. 5;
    my $outage = $sim->fault(role => 'api', path => '/external/api/v1/order', kind => 'status', status => 503);
    sql("UPDATE payway_purchase SET looked = looked - 10, next_look = 1 WHERE id = '$_'") for @id;
    $sim->clear_requests;
    until_ok(sub { !sql("SELECT COUNT(*) FROM payway_purchase WHERE next_look = 1") }, 'each is looked at in its turn');
    my @at = map { $_->{time} } $sim->requests(role => 'api', path => '/external/api/v1/order');
    cmp_ok scalar(@at), '>=', 5, 'all five';
    cmp_ok $at[-1] - $at[0], '>', 2, 'not all at once';
    $sim->clear_faults($outage);
    sql("UPDATE payway_purchase SET state = 'failed', next_look = 0 WHERE id = '$_'") for @id;
};

subtest 'found out after more than a day: open, and not sold again' => sub {
    $sim->shape(products_delay => 360_000);
    my $outage = $sim->fault(role => 'api', path => '/external/api/v1/order', kind => 'status', status => 503);
    my ($id, $sale, $client, $account) = lost(kind => 'cut_after');
    age($id, 90_000);
    until_ok(sub { sql("SELECT next_look > 1 FROM payway_purchase WHERE id = '$id'") }, 'a day passes');
    $sim->clear_faults($outage);
    sql("UPDATE payway_purchase SET looked = looked - 10, next_look = 1 WHERE id = '$id'");
    until_ok(sub { state_of($id) eq 'placed' }, 'the order is found');
    like $client->follow($client->navigate("/payway/purchase/$id"))->url, qr{/payway/confirm/}, 'the reader is told so';
    is $client->get('/premium/a.html')->status, 200, 'and reads';
    cmp_ok sql("SELECT grant_until - strftime('%s', 'now') FROM payway_purchase WHERE id = '$id'"), '>', 86_000, 'for a day from now';
    $sim->shape(products_delay => 0);
};

subtest 'rows that make no sense hold up nobody' => sub {
    my ($sale) = buyer();
    my $template = PWK::Sale::id($sale->press('/premium/a.html'));
    $server->expect_log(qr/PWK0160/);
    for my $bad (1 .. 25) {
        sql("CREATE TEMP TABLE one AS SELECT * FROM payway_purchase WHERE id = '$template'; UPDATE one SET id = '"
            . sprintf('%032x', 2000 + $bad) . "', account = 'bad$bad', state = 'odd', next_look = 1; INSERT INTO payway_purchase SELECT * FROM one");
    }
    my ($id) = lost(kind => 'cut_after');
    until_ok(sub { state_of($id) =~ /placed|confirmed/ }, 'a lost answer is found out beside twenty-five of them');
    is sql("SELECT COUNT(*) FROM payway_purchase WHERE state = 'odd' AND next_look > 1"), 25, 'which are put off';
    sql("DELETE FROM payway_purchase WHERE state = 'odd'");
};

subtest 'hosts that share a ledger' => sub {
    my $second = PWK::Server->new(
        config  => "PaywayCache shmcb:\@RUN\@/payway(1048576)\n",
        vhosts  => $server->{vhosts},
        vars    => {%{$server->{vars}}, URL => $server->url},
        secrets => {map { ($_ => PWK::Server::slurp($server->path("secrets/$_"))) } qw(key client)},
    );
    # the same file
    $second->vhosts(map { {%$_, config => $_->{config} =~ s{\@RUN\@/ledger.db}{@{[$server->path('run/ledger.db')]}}r} } @{$server->{vhosts}});
    $second->start;
    $sim->clear_requests;
    $sim->shape(orders_delay => 3600, products_delay => 3600);
    my ($id, $sale, $client, $account) = lost(kind => 'cut_after');
    until_ok(sub { lists($account) >= 2 }, 'is looked at');
    my ($claimed) = sql("SELECT claimed FROM payway_purchase WHERE id = '$id'");
    until_ok(sub { time - $claimed > 14 }, 'for a while');
    cmp_ok lists($account), '<=', 4, 'by one of them at a time';
    $sim->shape(orders_delay => 0, products_delay => 0);
    until_ok(sub { state_of($id) =~ /placed|confirmed/ }, 'found out', 30);
};

subtest 'old rows go, nothing unresolved ever' => sub {
    my ($sale) = buyer();
    my $template = PWK::Sale::id($sale->press('/premium/a.html'));
    my @state = qw(created placing placed confirmed failed unknown manual expired);
    for my $state (@state) {
        sql("UPDATE payway_purchase SET note = '' WHERE id = '$template'");
        sql("CREATE TEMP TABLE one AS SELECT * FROM payway_purchase WHERE id = '$template';"
            . " UPDATE one SET id = '" . sprintf('%032x', 1000 + ++$n) . "', account = '$state', organisation = 'another', state = '$state', changed = 1;"
            . " INSERT INTO payway_purchase SELECT * FROM one");
    }
    # One that failed, and of which there is an order; one that an older module wrote; one that nobody serves any more.
    sql("CREATE TEMP TABLE one AS SELECT * FROM payway_purchase WHERE state = 'failed' AND organisation = 'another';"
        . " UPDATE one SET id = '" . sprintf('%032x', 1000 + ++$n) . "', account = 'order', order_id = 'X-1'; INSERT INTO payway_purchase SELECT * FROM one");
    my $id = sql("SELECT id FROM payway_purchase WHERE organisation = 'another' AND state = 'placing'");
    sql("UPDATE payway_purchase SET next_look = 0 WHERE id = '$id'");
    is sql("SELECT COUNT(*) FROM payway_purchase WHERE organisation = 'another'"), 9, 'a row of each state, decades old';
    my $mark = $server->mark;
    $server->restart;
    $server->expect_log(qr/PWK0162/);
    ok $server->wait_for_log(qr/PWK0158.*\b3 old/, $mark), 'the first round removes them';
    like $server->wait_for_log(qr/PWK0162/, $mark) // '', qr/organisation another/, 'and says whose nobody looks at';
    isnt sql("SELECT next_look FROM payway_purchase WHERE id = '$id'"), 0, 'what an older module wrote is due';
    is sql("SELECT group_concat(state, ' ') FROM (SELECT state FROM payway_purchase WHERE organisation = 'another' ORDER BY state)"),
        'created failed manual placed placing unknown', 'what is unresolved stays';
    sql("DELETE FROM payway_purchase WHERE organisation = 'another'");
};

subtest 'the ledger can be read, and not written to' => sub {
    my ($sale, $client) = buyer();
    my $wall = $client->follow($client->navigate('/premium/a.html'));
    my $file = $server->path('run/ledger.db');
    $server->expect_log(qr/PWK0141/);
    sql("CREATE TRIGGER full_one BEFORE UPDATE ON payway_schema BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END;"
        . " CREATE TRIGGER full_two BEFORE INSERT ON payway_purchase BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END");
    is $sale->press($wall)->status, 503, 'who presses is told';
    for (1 .. 8) {
        like $client->get('/premium/a.html')->body, qr/data-notice="no-sale"/, 'and the wall says so';
        sleep 0.4;
    }
    is $client->get('/premium/a.html', Accept => 'application/json')->json->{notice}, 'no-sale', 'to programs too';
    sql('DROP TRIGGER full_one; DROP TRIGGER full_two');
    until_ok(sub { $client->get('/premium/a.html')->body !~ /data-notice="no-sale"/ }, 'mended: the button is back');
};

subtest 'the ledger fails: nothing is sold, the wall says so, reading goes on' => sub {
    my ($sale, $client) = buyer();
    my (undef, $subscriber) = buyer(products => ['example_web']);
    my $wall = $client->follow($client->navigate('/premium/a.html'));
    like $wall->body, qr/<button[^>]*type="submit"/, 'before: a button';
    my $file = $server->path('run/ledger.db');
    my $good = sub { rename "$file.good", $file; unlink "$file-wal", "$file-shm" };
    $server->expect_log(qr/PWK0141/);
    sql('PRAGMA wal_checkpoint(TRUNCATE)');
    rename $file, "$file.good";
    open my $bad, '>', $file or die "$file: $!";
    print {$bad} "this is no database\n" x 2000;
    close $bad;
    chown((stat "$file.good")[4, 5], $file);
    # Connections that are open keep the old file: a restart is what an operator would see it by.
    $server->restart;
    until_ok(sub { $client->get('/premium/a.html')->body =~ /data-notice="no-sale"/ }, 'the wall says so without being pressed');
    unlike $client->get('/premium/a.html')->body, qr/<button[^>]*class="payway-button" type="submit"/, 'and has no button';
    like $client->get('/premium/a.html', 'Accept-Language' => 'en')->body, qr/Buying is not possible right now/, 'in the reader\'s language';
    my $press = $sale->press($wall);
    is $press->status, 503, 'who presses on an old page is told so';
    like $press->body, qr/data-error="sale_unavailable"/, 'honestly';
    is $subscriber->get('/premium/a.html')->status, 200, 'subscribers read';
    $good->();
    $server->restart;
    until_ok(sub { $client->get('/premium/a.html')->body !~ /data-notice="no-sale"/ }, 'mended: the button is back');
    like $sale->press('/premium/a.html')->body, qr/data-client-token/, 'and sells';
};

subtest 'without the scope that lists orders it is said at the start' => sub {
    for my $how ('400', 'reduced') {
    my ($own, $other) = paywall(sells => 1, start => 0);
    $own->client($PWK::Test::CLIENT, {scopes => [grep { !/order/ } @PWK::Test::SCOPES]});
    $own->shape(scope_error => $how);
    $other->expect_log(qr/PWK0032/, qr/PWK0157/);
    $other->start;
    like $other->wait_for_log(qr/PWK0157/) // '', qr{/external/order/r.*operator}, 'what is missing, and what follows';
    sleep 2.5;
    is scalar(my @said = $other->error_log =~ /PWK0157/g), 1, "once ($how)";
    }
};

done_testing;
