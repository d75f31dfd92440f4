#!/usr/bin/perl

# The ledger on PostgreSQL: two hosts behind one name sell from one database, and everything that can happen to it. Nothing
# is sold that the database does not know of, nobody is charged twice, reading goes on, and no host has to be restarted.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Select       ();
use IO::Socket::INET ();
use POSIX            ();
use PWK::Postgres    ();
use PWK::Sale        ();
use PWK::Test;
use Time::HiRes      qw(sleep time);

my $API      = '/external/api/v1/klarna_payments';
my $MPM      = ($ENV{PWK_MPM} // 'event') eq 'prefork' ? "StartServers 8\nMaxRequestWorkers 64\n" : "StartServers 2\nMinSpareThreads 24\nMaxRequestWorkers 128\n";
my $postgres = PWK::Postgres->start;
my $LEDGER   = "PaywayOrderTimeout 8s\nPaywayTimeout 5s\nPaywayLedger pgsql \"\@POSTGRES\@\"\n";
my ($sim, $one) = paywall(sells => 1, start => 0, config => $MPM, directives => $LEDGER, vars => {POSTGRES => $postgres->params});
# The second host of the same site: its name, its key, its database, whose password it reads from a file.
my $two = PWK::Server->new(
    docroot => {map { ($_ => PWK::Server::slurp($one->path("docroot/$_"))) } qw(index.html premium/a.html)},
    config  => "PaywayCache shmcb:\@RUN\@/payway(1048576)\n$MPM",
    vhosts  => [{config => standard_vhost() . $PWK::Test::SELLS . $LEDGER}],
    secrets => {map { ($_ => PWK::Server::slurp($one->path("secrets/$_"))) } qw(key client)},
    vars    => {%{$one->{vars}}, URL => $one->url},
);
my $passfile = $two->file('run/pgpass', join(':', '127.0.0.1', $postgres->port, '*', 'payway', $postgres->password) . "\n", 0600);
if (my ($user) = PWK::Server::server_user()) { chown((getpwnam $user)[2, 3], $passfile) }
$two->vars(POSTGRES => $postgres->params(password => undef, passfile => $passfile));
# What a host may say of a database that is out of order, and of an order that it looks for.
$_->allow_log(qr/PWK0141/, qr/PWK0146/, qr/PWK0155/) for $one, $two;
my $n = 0;

# A new account, logged in at the first host, and what it buys with.
sub buyer (%account) {
    my %login   = (email => 'buyer' . ++$n . '@example.se', password => PWK::Server::random_text(9));
    my $account = $sim->new_account({%login, organisation => $PWK::Test::ORGANISATION, %account});
    my $client  = PWK::Client->new(base => $one->url);
    log_in($client, \%login);
    return (PWK::Sale->new(sim => $sim, client => $client), $client, $account->{id}, $login{password});
}

# What a balancer does: the reader's next requests go to that host.
sub at ($server, @clients) { $_->{via} = {$one->url => $server->port} for @clients }

sub calls ($path)      { return scalar grep { $_->{path} eq "$API/$path" } $sim->requests(role => 'api') }
sub charges ($account) { return scalar grep { $_->{account} eq $account } $sim->charges }
sub error_of ($page)   { return $page->body =~ /data-error="(\w+)"/ ? $1 : '' }
sub rows ($where)      { return $postgres->sql("SELECT count(*) FROM payway_purchase WHERE $where") }

sub until_ok ($condition, $name, $seconds = 15) {
    my $end = time + $seconds;
    until ($condition->()) {
        return fail $name if time > $end;
        sleep 0.1;
    }
    return pass $name;
}

# Buys, as soon as that is possible again; returns where it comes to rest.
sub buy_again ($sale, $name) {
    my $end;
    until_ok(sub { $end = eval { $sale->whole('/premium/a.html') }; $end && $end->url =~ m{/payway/confirm/} }, $name);
    return $end;
}

# Who waits for ever fails too.
$SIG{ALRM} = sub { die "it hangs\n" };

# In a process of its own; returns its id.
sub beside ($what) {
    my $pid = fork // die "fork: $!";
    if (!$pid) { eval { $what->() }; POSIX::_exit(0) }
    return $pid;
}

# A form of this client, as bytes.
sub form_of ($client, $path, $fields) {
    my $body = PWK::Client::form($fields);
    return join "\r\n", "POST $path HTTP/1.1", 'Host: 127.0.0.1:' . $one->port, 'Cookie: ' . $client->cookie_header($one->url . '/'),
        'Sec-Fetch-Site: same-origin', 'Content-Type: application/x-www-form-urlencoded', 'Content-Length: ' . length $body,
        'Connection: close', '', $body;
}

# Sends [server, bytes] all at once; returns the sockets.
sub send_all (@requests) {
    my @sockets = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $_->[0]->port) // die "$@\n" } @requests;
    syswrite $sockets[$_], $requests[$_][1] for 0 .. $#requests;
    return @sockets;
}

# What each says in the end: where it leads, or the first line.
sub answers (@sockets) {
    my %seen;
    for my $socket (@sockets) {
        local $/;
        my $answer = readline($socket) // '';
        $seen{$answer =~ m{\AHTTP/1\.1 303 .*^Location: ([^\s?]+)}ms ? $1 : substr $answer, 0, 40}++;
    }
    return \%seen;
}

subtest 'both begin at the same moment on an empty database' => sub {
    $_->start for $one, $two;
    my @readers = map { [buyer()] } 1 .. 6;
    my @requests;
    for my $reader (@readers) {
        my $bytes = form_of($reader->[1], '/payway/buy', {PWK::Sale::form($reader->[1]->get('/premium/a.html'))});
        push @requests, [$_, $bytes] for $one, $two;
    }
    $_->restart for $one, $two;    # connections, and the tables, are made by whoever buys first
    $postgres->sql('DROP SCHEMA payway CASCADE; CREATE SCHEMA payway AUTHORIZATION payway');
    my $seen = answers(send_all(@requests));
    is_deeply [values %$seen], [(2) x @readers], 'each has one purchase, at whichever host' or diag explain $seen;
    is $postgres->sql("SELECT DISTINCT schemaname || ' of ' || tableowner FROM pg_tables WHERE tablename LIKE 'payway%'"), 'payway of payway',
        'the tables stand in the role\'s schema';
    is rows('true'), scalar @readers, 'with one row for each';
    is $postgres->sql("SELECT rolsuper OR rolcreatedb OR rolcreaterole OR has_schema_privilege('payway', 'public', 'CREATE')
        OR has_database_privilege('payway', 'payway', 'CREATE') FROM pg_roles WHERE rolname = 'payway'"), 'f', 'by a role that may do nothing else';
};

subtest 'a purchase over two hosts' => sub {
    my ($sale, $client, $account) = buyer();
    at($two, $client);
    my $page = $sale->press('/premium/a.html');
    like $page->body, qr/data-client-token/, 'logged in at one, bought at the other';
    at($one, $client);
    is PWK::Sale::id($sale->press('/premium/a.html')), PWK::Sale::id($page), 'the first knows the purchase';
    my $placed = $sale->authorize($page);
    like $placed->location, qr{\A\Q@{[$sim->klarna]}\E/redirect/}, 'and places it';
    at($two, $client);
    my $end = $client->follow($placed);
    like $end->url, qr{/payway/confirm/}, 'the other confirms it';
    like $end->body, qr/EXAMPLE-\d+/, 'with its order';
    is $client->get('/premium/a.html')->status, 200, 'reads there';
    at($one, $client);
    is $client->get('/premium/a.html')->status, 200, 'and here';
    is charges($account), 1, 'charged once';
};

subtest 'one purchase, a hundred times at both' => sub {
    my ($sale, $client, $account) = buyer();
    my $page  = $sale->press('/premium/a.html');
    my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
    my $form  = form_of($client, '/payway/authorize/' . PWK::Sale::id($page), PWK::Sale::authorization($page, $token));
    $sim->clear_requests;
    $sim->fault(role => 'api', path => "$API/place_order", kind => 'delay', seconds => 0.5, times => 1, before_acting => 0);
    my $seen = answers(send_all(map { ([$one, $form], [$two, $form]) } 1 .. 50));
    my @odd  = grep { !m{/payway/(?:purchase|confirm)/@{[PWK::Sale::id($page)]}\z} && !m{\A\Q@{[$sim->klarna]}\E/redirect/} } keys %$seen;
    is_deeply \@odd, [], 'all lead to that purchase, or on to Klarna' or diag explain $seen;
    is calls('place_order'), 1, 'one order was sent';
    is charges($account), 1, 'charged once';
};

subtest 'two tabs, one at each host' => sub {
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    my @form = map {
        form_of($client, '/payway/authorize/' . PWK::Sale::id($page),
            PWK::Sale::authorization($page, $sim->authorize(PWK::Sale::session($page), category => 'pay_now')))
    } 1, 2;
    $sim->shape(authorization_check => 'off');    # the worst case: every order that is sent is charged
    $sim->clear_requests;
    answers(send_all([$one, $form[0]], [$two, $form[1]]));
    $sim->shape(authorization_check => 'strict');
    is calls('place_order'), 1, 'one order was sent';
    is charges($account), 1, 'charged once';
};

subtest 'a host dies while it places' => sub {
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    my $id   = PWK::Sale::id($page);
    $sim->clear_requests;
    $sim->fault(role => 'api', path => "$API/place_order", kind => 'delay', seconds => 3, times => 1, before_acting => 0);
    my $pid = beside(sub { $sale->authorize($page) });
    until_ok(sub { calls('place_order') }, 'the order is on its way');
    kill KILL => -$one->pid;
    waitpid $pid, 0;
    until_ok(sub { !$one->running }, 'the host is gone');
    at($two, $client);
    is $sale->state($id)->{state}, 'placing', 'the other does not judge before it is due';
    $postgres->sql("UPDATE payway_purchase SET due = 1 WHERE id = '$id'");
    until_ok(sub { $sale->state($id)->{state} =~ /placed|confirmed/ }, 'then it finds the order');
    like $client->follow($client->navigate("/payway/purchase/$id"))->url, qr{/payway/confirm/$id\z}, 'the reader is told';
    is $client->get('/premium/a.html')->status, 200, 'reads';
    like $two->error_log, qr/PWK0146: purchase $id/, 'and the log says that somebody was gone';
    is calls('place_order'), 1, 'sent once';
    is charges($account), 1, 'charged once';
    $one->allow_log(qr/AH00098/);
    $one->start;
    at($one, $client);
    like $client->follow($client->navigate("/payway/purchase/$id"))->url, qr{/payway/confirm/$id\z}, 'and the first, back again, knows';
};

my $subscriber = PWK::Client->new(base => $one->url);
log_in($subscriber);

# A database that is out of order: broken => what happens, mended => how it ends, line => what the log must say, cold => it
# is so before the first connection is made, lost => what was begun before is not there afterwards.
sub out_of_order ($name, %case) {
    subtest $name => sub {
        my ($sale,  $client,  $account) = buyer();
        my ($later, $browser, $other)   = buyer();
        my $page  = $sale->press('/premium/a.html');
        my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
        my $wall  = $browser->get('/premium/a.html');    # with buttons: later ones may have none
        $case{broken}->() if $case{cold};
        my $mark = $one->mark;
        $one->restart;
        is $later->state(PWK::Sale::id($page))->{state}, 'status 404', 'a connection is open' unless $case{cold};
        $sim->clear_requests;
        $case{broken}->() unless $case{cold};
        my $refused = $later->press($wall);
        is $refused->status, 503, 'buy: refused';
        is error_of($refused), 'sale_unavailable', 'with an honest page';
        my $answer = $sale->authorize($page, token => $token);
        ok $answer->status == 503 || ($answer->header('Location') // '') =~ /notice=unavailable/, 'authorize: refused' or diag $answer->head;
        is $client->get('/payway/purchase/' . PWK::Sale::id($page) . '/state')->status, 503, 'the state: could not be found out'
            unless $case{reads};
        is calls($_), 0, "$_: not called" for qw(create_session place_order);
        is $subscriber->get('/premium/a.html')->status, 200, 'who has bought reads on';
        is $later->client->get('/index.html')->status, 200, 'so does everybody';
        is $browser->get('/premium/a.html')->status, 402, 'the wall stands';
        until_ok(sub { $browser->get('/premium/a.html')->body =~ /data-notice="no-sale"/ }, 'and says that nothing is sold');
        my $said = time;
        while (time < $said + 2.5) { $browser->get('/premium/a.html')->body =~ /data-notice="no-sale"/ or last; sleep 0.25 }
        cmp_ok time - $said, '>', 2.4, 'as long as it is so';
        like $one->wait_for_log(qr/PWK0141/, $mark, 5) // '', $case{line}, 'the log says what to do';
        $case{mended}->();
        until_ok(sub { $browser->get('/premium/a.html')->body !~ /data-notice="no-sale"/ }, 'mended, and the wall has buttons again', 40);
        buy_again($later, 'mended, it sells again');
        is charges($other), 1, 'and charges once';
        if ($case{lost}) { buy_again($sale, 'what was begun begins anew') }
        else { like $client->follow($sale->authorize($page, token => $token))->url, qr{/payway/confirm/}, 'what was approved meanwhile is placed now' }
        is charges($account), 1, 'once';
    };
}

sub tables_to ($role) {
    for my $table (split /\n/, $postgres->sql("SELECT tablename FROM pg_tables WHERE schemaname = 'payway'")) {
        $postgres->sql("ALTER TABLE $table OWNER TO $role");
    }
}

out_of_order 'stopped', broken => sub { $postgres->stop }, mended => sub { $postgres->resume }, line => qr/server closed|terminating|refused/;
out_of_order 'not there when it is first needed', cold => 1, broken => sub { $postgres->stop }, mended => sub { $postgres->resume },
    line => qr/Connection refused.*PaywayLedger/;
out_of_order 'read-only', broken => sub { $postgres->read_only(1) }, mended => sub { $postgres->read_only(0) }, reads => 1,
    line => qr/read-only transaction/;
out_of_order 'a wrong password', broken => sub { $postgres->sql("ALTER ROLE payway PASSWORD 'another'"); $postgres->disconnect },
    mended => sub { $postgres->sql("ALTER ROLE payway PASSWORD '@{[$postgres->password]}'") }, line => qr/password authentication failed/;
out_of_order 'rights are gone', broken => sub { tables_to('postgres') }, mended => sub { tables_to('payway') }, line => qr/must be owner|permission denied/;
out_of_order 'the schema is gone', lost => 1, broken => sub { $postgres->sql('DROP SCHEMA payway CASCADE') },
    mended => sub { $postgres->sql('CREATE SCHEMA payway AUTHORIZATION payway') }, line => qr/no schema|does not exist/;
out_of_order 'tables of a later version', cold => 1, broken => sub { $postgres->sql('INSERT INTO payway_schema VALUES (99)') },
    mended => sub { $postgres->sql('DELETE FROM payway_schema WHERE version = 99') }, line => qr/newer version of this module/;

subtest 'a database that answers before it has written' => sub {
    $one->expect_log(qr/PWK0152/);    # the answer does not come
    $postgres->sql('ALTER ROLE payway SET synchronous_commit = off');
    $postgres->sql("ALTER SYSTEM SET wal_writer_delay = '10s'", 'postgres');
    $postgres->sql('SELECT pg_reload_conf()', 'postgres');
    $postgres->disconnect;
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    my $id   = PWK::Sale::id($page);
    $sim->clear_requests;
    $sim->shape(authorization_check => 'off', orders_delay => 3600, products_delay => 3600);
    $sim->fault(role => 'api', path => "$API/place_order", kind => 'hang', seconds => 3, times => 1, before_acting => 0);
    my $pid = beside(sub { $sale->twin->authorize($page) });
    until_ok(sub { calls('place_order') }, 'the order is on its way');
    $postgres->crash;
    $postgres->resume;
    is rows("id = '$id' AND state IN ('placing', 'unknown')"), 1, 'the claim outlives the crash of the server';
    waitpid $pid, 0;
    eval { $sale->authorize($page) };
    is charges($account), 1, 'and the order is sent once';
    $sim->shape(authorization_check => 'strict', orders_delay => 0, products_delay => 0);
    $postgres->sql("UPDATE payway_purchase SET due = 1 WHERE id = '$id'");
    until_ok(sub { $sale->state($id)->{state} =~ /placed|confirmed/ }, 'it is found out');
    $postgres->sql('ALTER ROLE payway RESET synchronous_commit');
    $postgres->disconnect;
};

subtest 'stopped while an order is being placed' => sub {
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    my $id   = PWK::Sale::id($page);
    $sim->shape(products_delay => 3600);
    $sim->clear_requests;
    $sim->fault(role => 'api', path => "$API/place_order", kind => 'delay', seconds => 1, times => 1, before_acting => 0);
    my $mark = $one->mark;
    my $pid  = beside(sub { $sale->twin->authorize($page) });
    until_ok(sub { calls('place_order') }, 'the order is on its way');
    $postgres->stop;
    waitpid $pid, 0;
    like $one->wait_for_log(qr/PWK0155/, $mark) // '', qr/$id: its outcome \(order EXAMPLE-\d+\)/, 'the log keeps what the ledger could not';
    $postgres->resume;
    is rows("id = '$id' AND state = 'placing'"), 1, 'the row stands where it was';
    $postgres->sql("UPDATE payway_purchase SET due = 1 WHERE id = '$id'");
    until_ok(sub { $sale->state($id)->{state} =~ /placed|confirmed/ }, 'the order is found out');
    is $client->get('/premium/a.html')->status, 200, 'reads';
    is calls('place_order'), 1, 'sent once';
    is charges($account), 1, 'charged once';
    $sim->shape(products_delay => 0);
};

subtest 'frozen' => sub {
    my ($sale, $client, $account) = buyer();
    alarm 90;
    my %form  = PWK::Sale::form($client->get('/premium/a.html'));
    my $press = form_of($client, '/payway/buy', \%form);
    $one->restart;
    answers(send_all(map { [$one, form_of($client, '/payway/authorize/' . 'f' x 32, {})] } 1 .. 20));    # connections are open
    $sim->clear_requests;
    my ($mark, $from) = ($one->mark, time);
    $postgres->freeze;
    my $waiting = IO::Select->new(send_all(map { [$one, $press] } 1 .. 40));
    my ($statics, $reads, $longest, %seen) = (0, 0, 0);
    while ($waiting->count && time < $from + 30) {
        my $asked = time;
        $statics++ if PWK::Client->new(base => $one->url)->get('/index.html')->status == 200;
        $reads++   if $subscriber->get('/premium/a.html')->body =~ /SENTINEL-A/;
        $longest = time - $asked if time - $asked > $longest;
        for my $socket ($waiting->can_read(0.2)) {
            local $/;
            my $answer = readline $socket;
            $seen{$answer =~ m{\AHTTP/1\.1 (\d+)} ? $1 : 'none'}++;
            $waiting->remove($socket);
        }
    }
    is_deeply \%seen, {503 => 40}, 'forty who press buy are told';
    cmp_ok time - $from, '<', 15, 'soon';
    cmp_ok $statics, '>', 5, 'free pages are served all along';
    is $reads, $statics, 'and those who have bought read';
    cmp_ok $longest, '<', 5, 'without waiting';
    # Somebody was waited for a moment ago: nobody else is made to wait for the same.
    my $asked = time;
    my $again = answers(send_all(map { [$one, $press] } 1 .. 40));
    is_deeply $again, {"HTTP/1.1 503 Service Unavailable\r\nDate: " => 40}, 'the next forty too' or diag explain $again;
    note sprintf 'after %.1f s', time - $asked;
    cmp_ok time - $asked, '<', 15, 'soon';
    is calls('create_session'), 0, 'nothing was begun';
    like $one->wait_for_log(qr/PWK0141/, $mark, 5) // '', qr/cut|all are in use|timeout expired/, 'the log says what to do';
    $postgres->thaw;
    alarm 0;
    buy_again($sale, 'thawed, it sells again');
    is charges($account), 1, 'and charges once';
};

subtest 'frozen while an order is being placed' => sub {
    $one->restart;    # no child remembers the frost
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    my $id   = PWK::Sale::id($page);
    $sim->clear_requests;
    $sim->fault(role => 'api', path => "$API/place_order", kind => 'delay', seconds => 1, times => 1, before_acting => 0);
    my $from = time;
    my $pid  = beside(sub { $sale->twin->authorize($page) });
    until_ok(sub { calls('place_order') }, 'the order is on its way');
    alarm 60;
    $postgres->freeze;
    waitpid $pid, 0;
    alarm 0;
    cmp_ok time - $from, '<', 20, 'answered soon';
    $postgres->thaw;
    # What the frozen server was told it may do now, or may not.
    like rows("id = '$id' AND state IN ('placing', 'placed', 'confirmed')"), qr/\A1\z/, 'the order is not forgotten';
    $postgres->sql("UPDATE payway_purchase SET due = 1 WHERE id = '$id'");
    until_ok(sub { $sale->state($id)->{state} =~ /placed|confirmed/ }, 'it is found out');
    is calls('place_order'), 1, 'sent once';
    is charges($account), 1, 'charged once';
};

subtest 'the database: no person, no token in clear' => sub {
    $one->restart;
    my %person = (ssn => '194103219202', given_name => 'Alicia', family_name => 'Kanarie', birth_date => '1941-03-21', phone => '0765260000',
        street_address => 'Kanariegatan 17', postal_code => '12345', city => 'Ankeborg');
    my (%canary, @ids);
    for my $round (1, 2) {
        my ($sale, $client, $account, $password) = buyer(first_name => 'Alicia', last_name => 'Kanarie');
        $sim->klarna_person($account, {%person, ssn => '19410321920' . $round});
        my $page  = $sale->press('/premium/a.html?name=Alicia');
        my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
        if ($round == 2) { $sim->klarna_person($account, {%person, payment => 'failed'}) }
        my $end = $client->follow($sale->authorize($page, token => $token));
        is error_of($end), $round == 2 ? 'payment_failed' : '', $round == 2 ? 'a payment failed' : 'bought';
        push @ids, PWK::Sale::id($page);
        %canary = (%canary, "the authorization $round" => $token, "the session $round" => PWK::Sale::session($page),
            "the client token $round" => PWK::Sale::attribute($page, 'data-client-token'), "the password $round" => $password,
            "the personal number $round" => "19410321920$round");
    }
    $canary{"$_ of the person"} = $person{$_} for qw(given_name family_name birth_date phone street_address city);
    $canary{'an e-mail address'} = '@example.se';
    $canary{'a redirect'}        = '/redirect/';
    my %bearer = map { (($_->{headers}{authorization} // '') =~ /\ABearer (\S+)/ ? ($1 => 1) : ()) } $sim->requests(role => 'api');
    cmp_ok scalar(keys %bearer), '>', 1, 'access tokens were used';
    $canary{"access token $_"} = (sort keys %bearer)[$_] for 0 .. keys(%bearer) - 1;
    $canary{'the role\'s password'} = $postgres->password;
    my $dump = $postgres->dump;
    like $dump, qr/\Q$_\E/, 'the purchase is there' for @ids;
    is_deeply [grep { index($dump, $canary{$_}) >= 0 } sort keys %canary], [], scalar(keys %canary) . ' others are not';
    my $log = join '', map { PWK::Server::slurp($_) } map { glob $_->path('logs/error_log') } $one, $two;
    is_deeply [grep { index($log, $canary{$_}) >= 0 } sort keys %canary], [], 'nor in a log';
};

done_testing;
