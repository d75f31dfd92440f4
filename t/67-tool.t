#!/usr/bin/perl

# payway-klarna ledger, on the ledger of a paywall that sells: what operators see, what they settle, what they are told
# about a ledger that is none or is not whole; and that nothing secret is ever printed.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use Encode     qw(decode);
use Fcntl      ();
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use IO::Handle;
use JSON::PP   ();
use PWK::Sale  ();
use PWK::Test;
use POSIX      ();
use Time::HiRes qw(sleep time);

# A database outlives its pool on purpose (pwk_database).
$ENV{ASAN_OPTIONS} = join ':', 'detect_leaks=0', $ENV{ASAN_OPTIONS} // ();
my $BUILT = "$PWK::Server::BUILDDIR/payway-klarna";
-x $BUILT or die "$BUILT is not there: run make first\n";

my ($sim, $server) = paywall(
    sells      => 1,
    seed       => {packages => [map { {organisation => $PWK::Test::ORGANISATION, %$_} }
        {code => 'example_digital', name => 'Exempel Digital', products => ['example_web'], periods => [{id => $PWK::Test::PERIOD, price => 149}]},
        {code => 'example_paper', name => 'Papper', products => ['example_paper'], periods => [{id => '5f0d9ea795cfebfb8544ab16', price => 399}]},
    ]},
    directives => <<~'MORE',
        PaywayTimeout      2s 1s
        PaywayOrderTimeout 2s
        PaywayOffer paper code=example_paper products=example_paper
        <Location /paper>
            AuthType Payway
            Require  payway-product example_paper
        </Location>
        MORE
    docroot => {'index.html' => "free\n", 'premium/a.html' => "SENTINEL-A\n", 'paper/a.html' => "SENTINEL-P\n"},
);
# Where the server's user finds it, wherever it was built.
my $dir = $server->path('tool');
mkdir $dir;
my $TOOL = "$dir/payway-klarna";
copy($BUILT, $TOOL) or die "$TOOL: $!";
chmod 0755, $TOOL;

my $LEDGER = $server->path('run/ledger.db');
my @IT     = ('--ledger', "sqlite3 $LEDGER");
my ($USER) = PWK::Server::server_user();    # nobody: the test is not root's
my @said;                                   # all that the tool ever printed

# (exit status, standard output, standard error). Options first: as => user, env => {…}.
sub tool (@words) {
    my %with = ref $words[0] ? %{shift @words} : ();
    my ($out, $err) = map {"$dir/said.$_"} 'out', 'err';
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        delete @ENV{qw(PAYWAY_LEDGER SUDO_USER)};
        $ENV{$_} = $with{env}{$_} for keys %{$with{env} // {}};
        open STDOUT, '>', $with{out} // $out or POSIX::_exit(126);
        open STDERR, '>', $err or POSIX::_exit(126);
        if ($with{as}) {
            my ($uid, $gid) = (getpwnam $with{as})[2, 3];
            ($(, $)) = ($gid, "$gid $gid");
            ($<, $>) = ($uid, $uid);
        }
        { no warnings 'exec'; exec $TOOL, @words }
        POSIX::_exit(127);
    }
    waitpid $pid, 0;
    my $status = $? & 127 ? 'signal ' . ($? & 127) : $? >> 8;
    my @texts = map { PWK::Server::slurp($_) } $with{out} ? () : $out, $err;
    unshift @texts, '' if $with{out};
    push @said, @texts;
    return ($status, @texts);
}
sub ledger ($words, @more) { return tool(ref $words eq 'HASH' ? $words : (), 'ledger', ref $words eq 'HASH' ? @more : ($words, @more)) }

sub sql ($statement, $file = $LEDGER) {
    open my $in, '-|', 'sqlite3', '-cmd', '.timeout 5000', $file, $statement or die "sqlite3: $!";
    my $said = do { local $/; <$in> } // '';
    close $in or die "sqlite3 $statement\n";
    return $said =~ s/\n\z//r;
}
sub state_of ($id) { return sql("SELECT state FROM payway_purchase WHERE id = '$id'") }

# RFC 4180: rows of cells.
sub csv ($text) {
    my (@rows, @row);
    while ($text =~ /\G(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/gc) {
        my ($quoted, $plain, $end) = ($1, $2, $3);
        push @row, decode('UTF-8', defined $quoted ? $quoted =~ s/""/"/gr : $plain);
        next if $end eq ',';
        push @rows, [splice @row];
    }
    die 'no CSV at ' . (pos($text) // 0) . ": $text" if (pos($text) // 0) < length $text || @row;
    my @names = @{shift @rows // []};
    return map { my $row = $_; @$row == @names or die "a row of another length\n"; my %r; @r{@names} = @$row; \%r } @rows;
}
sub json ($text) { return map { JSON::PP->new->utf8->decode($_) } split /\n/, $text }

my $n = 0;
sub buyer () {
    my %login   = (email => 'operated' . ++$n . '@example.se', password => PWK::Server::random_text(9));
    my $account = $sim->new_account({%login, organisation => $PWK::Test::ORGANISATION})->{id};
    my $client  = PWK::Client->new(base => $server->url);
    log_in($client, \%login);
    return (PWK::Sale->new(sim => $sim, client => $client), $client, $account, \%login);
}
sub again ($login) {
    my $client = PWK::Client->new(base => $server->url);
    log_in($client, $login);
    return $client;
}
sub lost ($path = '/premium/a.html', $offer = 'digital', $kind = 'cut_before') {
    my ($sale, $client, $account, $login) = buyer();
    my $page = $sale->press($path, $offer);
    $sim->fault(role => 'api', path => '/external/api/v1/klarna_payments/place_order', times => 1, kind => $kind);
    $sale->authorize($page);
    return {sale => $sale, client => $client, account => $account, login => $login, id => PWK::Sale::id($page)};
}
# What two days do.
sub give_up ($id) {
    sql("UPDATE payway_purchase SET state = 'manual', created = created - 172800, claimed = claimed - 172800, due = due - 172800, grant_from = grant_from - 172800, grant_until = grant_until - 172800, changed = changed - 1, next_look = 0 WHERE id = '$id'");
}

# -- a ledger with a row in each state

my %row;
$server->expect_log(qr/PWK0152/);
$server->allow_log(qr/PWK0030|PWK0146/);
{
    my ($sale) = buyer();
    $row{confirmed} = PWK::Sale::id($sale->whole('/premium/a.html'));
    $sale->client->get("/payway/confirm/$row{confirmed}");
    my $end = time + 15;
    sleep 0.1 while $sale->state($row{confirmed})->{state} ne 'confirmed' && time < $end;
    is state_of($row{confirmed}), 'confirmed', 'a purchase went well';
}

subtest 'nothing to say' => sub {
    my ($status, $out, $err) = ledger('list', @IT);
    is "$status|$err", '0|', 'list';
    is $out =~ tr/\n//, 1, 'has its header alone';
    ($status, $out, $err) = ledger('verify', @IT);
    is "$status|$out|$err", "0|purchases=1 findings=0\n|", 'verify';
};

{
    $sim->shape(products_delay => 3600);
    my ($sale) = buyer();
    $row{placed} = PWK::Sale::id($sale->whole('/premium/a.html'));
    $sim->shape(orders_delay => 3600);
    $row{unknown} = lost()->{id};
    $row{manual} = lost()->{id};
    give_up($row{manual});
    $sim->shape(order_error => 'payment_declined');
    ($sale) = buyer();
    $row{failed} = PWK::Sale::id($sale->whole('/premium/a.html'));
    $sim->shape(order_error => '');
    ($sale) = buyer();
    $row{created} = PWK::Sale::id($sale->press('/premium/a.html'));
    ($sale) = buyer();
    my $page = $sale->press('/premium/a.html');
    $row{expired} = PWK::Sale::id($page);
    sql("UPDATE payway_purchase SET state = 'expired', next_look = 0 WHERE id = '$row{expired}'");
    $row{placing} = lost()->{id};
    sql("UPDATE payway_purchase SET state = 'placing', next_look = due WHERE id = '$row{placing}'");
}
is_deeply {map { ($_ => state_of($row{$_})) } keys %row}, {map { ($_ => $_) } keys %row}, 'a row in each state';

subtest 'list: what is under way or needs somebody' => sub {
    my ($status, $out, $err) = ledger('list', @IT);
    is "$status|$err", '0|', 'as a table';
    my ($head, @lines) = split /\n/, $out;
    like $head, qr/\Aid +state +since +account +site +offer +code +order_id +error +next +note\z/, 'with a header';
    is_deeply {map { (split)[0, 1] } @lines}, {map { ($row{$_} => $_) } qw(placing unknown manual placed)}, 'the rows';
    is scalar(my @at = grep { index($_, 'example_digital') == index $lines[0], 'example_digital' } @lines), 4, 'columns stand below each other';
    my ($manual) = grep {/ manual /} @lines;
    like $manual, qr/waits for an operator/, 'and say what they wait for';

    for my $format ('csv', 'json') {
        ($status, $out, $err) = ledger('list', @IT, '--format', $format);
        is "$status|$err", '0|', $format;
        my @rows = $format eq 'csv' ? csv($out) : json($out);
        is_deeply [sort map { $_->{state} } @rows], [sort qw(placing unknown manual placed)], "$format: the same rows";
        is_deeply [map { $_->{since} } @rows], [sort { $b cmp $a } map { $_->{since} } @rows], "$format: the newest first";
        my ($placed) = grep { $_->{state} eq 'placed' } @rows;
        is $placed->{id}, $row{placed}, "$format: id";
        like $placed->{since}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z/, "$format: time";
        is $placed->{order_id}, sql("SELECT order_id FROM payway_purchase WHERE id = '$row{placed}'"), "$format: order";
        is $placed->{site}, $server->url, "$format: site";
    }
    my $ids = sub (@words) {
        my ($status, $out) = ledger('list', @IT, '--format=json', @words);
        return [sort map { $_->{id} } json($out)];
    };
    is_deeply $ids->('--all'), [sort values %row], '--all';
    is_deeply $ids->('--state', 'failed,created'), [sort @row{qw(failed created)}], '--state';
    my $account = sql("SELECT account FROM payway_purchase WHERE id = '$row{failed}'");
    is_deeply $ids->('--all', '--account', $account), [$row{failed}], '--account';
    is_deeply $ids->('--all', '--organisation', 'another'), [], '--organisation';
    is scalar @{$ids->('--all', '--organisation', $PWK::Test::ORGANISATION)}, keys %row, '--organisation, ours';
    is scalar @{$ids->('--all', '--limit', 3)}, 3, '--limit';
    sql("UPDATE payway_purchase SET changed = changed - 7200 WHERE id = '$row{confirmed}'");
    is scalar(grep { $_ eq $row{confirmed} } @{$ids->('--all', '--since', '1h')}), 0, '--since an age';
    is scalar(grep { $_ eq $row{confirmed} } @{$ids->('--all', '--since', '3h')}), 1, '--since a longer one';
    my @day = gmtime(time - 2 * 86400);
    is scalar @{$ids->('--all', '--since', POSIX::strftime('%Y-%m-%d', @day))}, keys %row, '--since a day';
    is scalar @{$ids->('--all', '--since', POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time + 60)))}, 0, '--since a moment to come';
    sql("UPDATE payway_purchase SET changed = changed + 7200 WHERE id = '$row{confirmed}'");
    sql("UPDATE payway_purchase SET order_id = 'EXAMPLE-999' WHERE id = '$row{failed}'");
    is scalar(grep { $_ eq $row{failed} } @{$ids->()}), 1, 'a failed one of which there is an order';
    is ((ledger('resolve', $row{failed}, 'placed', '--note', 'paid', @IT))[0], 1, 'which is not placed by a word');
    my @seen = ledger('resolve', $row{failed}, 'failed', '--note', 'refunded', @IT);
    like "$seen[0]|$seen[1]", qr/\A0\|purchase \Q$row{failed}\E: failed -> failed\n.*refunded/, 'is seen to';
    is scalar(grep { $_ eq $row{failed} } @{$ids->()}), 0, 'and needs nobody any more';
    sql("UPDATE payway_purchase SET order_id = '', note = '' WHERE id = '$row{failed}'");
};

subtest 'show' => sub {
    for my $state (sort keys %row) {
        my ($status, $out, $err) = ledger('show', $row{$state}, @IT);
        is "$status|$err", '0|', $state;
        like $out, qr/^id +\Q$row{$state}\E /m, "$state: its id";
        like $out, qr/^state +$state +\(\w.*\)$/m, "$state: and what it means";
        ($status, $out) = ledger('show', $row{$state}, @IT, '--format', 'json');
        my ($object) = json($out);
        is $object->{state}, $state, "$state: as JSON";
        is_deeply $object->{facts}, JSON::PP->new->utf8->decode(sql("SELECT facts FROM payway_purchase WHERE id = '$row{$state}'")), "$state: what was shown";
        is $object->{has_session}, 1, "$state: that there is a session";
        is_deeply [grep { exists $object->{$_} } qw(sale session redirect token_hash mark)], [], "$state: but not what it is";
        is $object->{created}, POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime sql("SELECT created FROM payway_purchase WHERE id = '$row{$state}'")), "$state: in UTC";
    }
    my ($status, $out) = ledger('show', $row{manual}, @IT);
    my $account = sql("SELECT account FROM payway_purchase WHERE id = '$row{manual}'");
    like $out, qr/Payway Admin.*\Q$account\E.*\n?.*\Q$row{manual}\E/, 'manual: where to look';
    like $out, qr/ledger resolve \Q$row{manual}\E placed --order ORDER --note TEXT.*ledger resolve \Q$row{manual}\E failed --note TEXT/s, 'and which command then';
    like +(ledger('show', $row{unknown}, @IT))[1], qr/"failed" not before \d{4}-/, 'unknown: that it is early yet';
    ($status, my $none, my $err) = ledger('show', 'f' x 32, @IT);
    is "$status|$none", '1|', 'one that is not there';
    like $err, qr/there is no purchase f+$/, 'is said to be so';
    is +(ledger('show', "x'; DROP", @IT))[0], 2, 'what is no id is wrong usage';
};

subtest 'export: everything but what is secret' => sub {
    my %columns;
    for my $format ('csv', 'json') {
        my ($status, $out, $err) = ledger('export', @IT, '--format', $format);
        is "$status|$err", '0|', $format;
        my @rows = $format eq 'csv' ? csv($out) : json($out);
        is_deeply [map { $_->{id} } @rows], [sort values %row], "$format: every row, by id";
        is_deeply [grep { exists $rows[0]{$_} } qw(sale session redirect token_hash mark)], [], "$format: without what is secret";
        $columns{$format} = [sort keys %{$rows[0]}];
        my ($placed) = grep { $_->{id} eq $row{placed} } @rows;
        my ($account, $code) = split /\|/, sql("SELECT account, code FROM payway_purchase WHERE id = '$row{placed}'");
        is "$placed->{account}|$placed->{code}|$placed->{state}|$placed->{type}", "$account|$code|placed|recurring", "$format: members";
        is $placed->{grant_until}, POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime sql("SELECT grant_until FROM payway_purchase WHERE id = '$row{placed}'")), "$format: time";
    }
    is_deeply $columns{csv}, $columns{json}, 'both have the same members';
    my @known = grep { !/\A(?:sale|session|redirect|token_hash|mark)\z/ } sql('SELECT name FROM pragma_table_info(\'payway_purchase\')') =~ /(\w+)/g;
    my %called = (period_type => 'type', period_id => 'period', start_date => 'start');
    is_deeply $columns{csv}, [sort map { $called{$_} // $_ } @known], 'every column of the table';
    my ($status, $out) = ledger('export', @IT, '--format=json', '--state=manual', '--since=1h');
    is_deeply [map { $_->{id} } json($out)], [$row{manual}], '--state and --since';
    is +(ledger('export', @IT))[0], 2, 'a format is needed';
    ($status) = tool({out => '/dev/full'}, 'ledger', 'export', @IT, '--format=csv');
    is $status, 2, 'a disk that is full is not success';
};

subtest 'what came from elsewhere does nothing to a terminal or a spreadsheet' => sub {
    my $before = sql("SELECT order_id || '|' || error FROM payway_purchase WHERE id = '$row{failed}'");
    for my $first ('=', '+', '-', '@') {
        sql("UPDATE payway_purchase SET order_id = '${first}cmd|x', error = 'say \"hi\", ' || char(10) || char(27) || '[31mred' || char(13) || char(155) WHERE id = '$row{failed}'");
        my ($status, $out) = ledger('export', @IT, '--format=csv', '--state=failed');
        my ($got) = csv($out);
        is $got->{order_id}, "'${first}cmd|x", "$first: no formula";
        is $got->{error}, 'say "hi", [31mred', "$first: quoted";
        unlike $out, qr/\e|[^\r]\n|\r[^\n]/, "$first: no control character";
        ($status, $out) = ledger('export', @IT, '--format=json', '--state=failed');
        is +(json($out))[0]{order_id}, "${first}cmd|x", "$first: JSON as it is";
        unlike +(ledger('list', @IT, '--all'))[1], qr/\e|\r/, "$first: in a table";
        unlike +(ledger('show', $row{failed}, @IT))[1], qr/\e|\r/, "$first: in words";
    }
    my ($order, $error) = split /\|/, $before;
    sql("UPDATE payway_purchase SET order_id = '$order', error = '$error' WHERE id = '$row{failed}'");
};

# -- what operators settle

subtest 'resolve: what is refused' => sub {
    for my $state (sort grep { !/\A(?:manual|unknown)\z/ } keys %row) {
        my ($status, $out, $err) = ledger('resolve', $row{$state}, 'failed', '--note', 'x', '--force', @IT);
        is "$status|$out", '1|', "$state: not possible";
        like $err, qr/\Q$row{$state}\E is $state: only manual and unknown/, "$state: and why";
        is state_of($row{$state}), $state, "$state: stays";
    }
    my ($status, $out, $err) = ledger('resolve', $row{unknown}, 'failed', '--note', 'x', @IT);
    is $status, 1, 'unknown for a minute, as failed: not yet';
    like $err, qr/authorization can still be used until \d{4}-.*--force/, 'and why';
    for my $case (
        ['no note', $row{manual}, 'placed'], ['an empty note', $row{manual}, 'placed', '--note', ' '],
        ['a note with an escape', $row{manual}, 'placed', '--note', "a\e[1mb"], ['with a line end', $row{manual}, 'placed', '--note', "a\nb"],
        ['with a turn of direction', $row{manual}, 'placed', '--note', "a\xe2\x80\xaeb"], ['that is no UTF-8', $row{manual}, 'placed', '--note', "a\xff"],
        ['another word', $row{manual}, 'confirmed', '--note', 'x'], ['no word', $row{manual}, '--note', 'x'],
        ['an order of nothing', $row{manual}, 'failed', '--note', 'x', '--order', 'EXAMPLE-1'],
        ['an order that is none', $row{manual}, 'placed', '--note', 'x', '--order', 'a b'],
        ['an order too long', $row{manual}, 'placed', '--note', 'x', '--order', 'a' x 65],
        ['too many words', $row{manual}, 'placed', 'now', '--note', 'x'],
        ['a note twice', $row{manual}, 'placed', '--note', 'x', '--note', 'y'],
        ['an unknown option', $row{manual}, 'placed', '--note', 'x', '--yes'],
    ) {
        my ($name, @words) = @$case;
        is +(ledger('resolve', @words, @IT))[0], 2, "$name: wrong usage";
    }
    is +(ledger('resolve', $row{manual}, 'placed', '--note', 'x' x 2000, @IT))[0], 1, 'a note too long is not possible';
    my $taken = sql("SELECT order_id FROM payway_purchase WHERE id = '$row{placed}'");
    ($status, $out, $err) = ledger('resolve', $row{manual}, 'placed', '--note', 'x', '--order', $taken, @IT);
    is $status, 1, 'nor is the order of another';
    like $err, qr/\Q$taken\E belongs to purchase \Q$row{placed}\E/, 'whose it is';
    is +(ledger('resolve', 'f' x 32, 'placed', '--note', 'x', @IT))[0], 1, 'nor one that is not there';
    ($status, $out) = ledger('resolve', $row{manual}, 'placed', '--note', 'x', '--dry-run', @IT);
    is $status, 0, 'a dry run';
    like $out, qr/\Awould do: purchase \Q$row{manual}\E: manual -> placed/, 'says what it would do';
    is sql("SELECT state || note FROM payway_purchase WHERE id = '$row{manual}'"), 'manual', 'and after all that nothing has changed';
};

subtest 'resolved as placed: whoever paid reads, and buys again when Payway shows it' => sub {
    my $lost = lost('/premium/a.html', 'digital', 'cut_after');
    my $id   = $lost->{id};
    my @charged = grep { $_->{account} eq $lost->{account} } $sim->charges;
    is scalar @charged, 1, 'charged';
    give_up($id);
    is again($lost->{login})->get('/premium/a.html')->status, 402, 'two days later: closed';
    my ($status, $out, $err) = ledger({env => {SUDO_USER => 'astrid'}}, 'resolve', $id, 'placed', '--order', 'EXAMPLE-4711', '--note', 'sett i Payway Admin, Åsa', @IT);
    is "$status|$err", '0|', 'resolved';
    like $out, qr/\Apurchase \Q$id\E: manual -> placed, order EXAMPLE-4711\n/, 'it says what it did';
    my $by = $USER ? 'astrid' : (getpwuid $<)[0];
    like sql("SELECT note FROM payway_purchase WHERE id = '$id'"), qr/\A20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ \Q$by\E: sett i Payway Admin, Åsa\z/, 'and noted who said so, and when';
    my $client = again($lost->{login});
    is $client->get('/premium/a.html')->status, 200, 'the article is open';
    my $sale = PWK::Sale->new(sim => $sim, client => $client);
    is PWK::Sale::id($sale->press('/paper/a.html', 'paper')), $id, 'another thing is not sold yet';
    $sim->shape(products_delay => 0);
    $client->get("/payway/confirm/$id");
    my $end = time + 15;
    sleep 0.1 while $sale->state($id)->{state} ne 'confirmed' && time < $end;
    is state_of($id), 'confirmed', 'confirmed once Payway shows the products';
    like $sale->press('/paper/a.html', 'paper')->body, qr/data-client-token/, 'and it is sold then';
    $sim->shape(products_delay => 3600);
};

subtest 'resolved as failed: the account may buy again' => sub {
    for my $state ('manual', 'unknown') {
        my $lost = lost();
        my $id   = $lost->{id};
        give_up($id) if $state eq 'manual';
        my $sale = PWK::Sale->new(sim => $sim, client => again($lost->{login}));
        is PWK::Sale::id($sale->press('/paper/a.html', 'paper')), $id, "$state: nothing else is sold";
        my ($status, $out, $err) = ledger('resolve', $id, 'failed', '--note', 'no order there', $state eq 'unknown' ? '--force' : (), @IT);
        is "$status|$err", '0|', "$state: resolved";
        is sql("SELECT state, error FROM payway_purchase WHERE id = '$id'"), 'failed|order_absent', "$state: failed";
        is again($lost->{login})->get('/premium/a.html')->status, 402, "$state: closed";
        like $sale->press('/paper/a.html', 'paper')->body, qr/data-client-token/, "$state: the next is sold";
        is +(ledger('resolve', $id, 'placed', '--note', 'after all', @IT))[0], 1, "$state: what has ended stays so";
    }
};

# Both have read the row before either can write: a third holds the lock.
subtest 'two who resolve at once: one does' => sub {
    for my $round (1 .. 3) {
        my $id = lost()->{id};
        give_up($id);
        open my $holder, '|-', 'sqlite3', '-cmd', '.timeout 5000', $LEDGER or die "sqlite3: $!";
        $holder->autoflush;
        print {$holder} "BEGIN IMMEDIATE;\nUPDATE payway_purchase SET looked = looked WHERE id = '$id';\n.shell touch $dir/held\n";
        my $end = time + 10;
        sleep 0.02 until -e "$dir/held" || time > $end;
        my @pids;
        for my $word ('placed', 'failed') {
            my $pid = fork // die "fork: $!";
            if (!$pid) {
                open STDOUT, '>', "$dir/$word.out" or POSIX::_exit(126);
                open STDERR, '>', "$dir/$word.err" or POSIX::_exit(126);
                exec $TOOL, 'ledger', 'resolve', $id, $word, '--note', $word, @IT or POSIX::_exit(127);
            }
            push @pids, $pid;
        }
        sleep 0.5;    # each is at its write by then, or this shows less than it could
        print {$holder} "COMMIT;\n";
        close $holder or die "sqlite3\n";
        unlink "$dir/held";
        my @status = map { waitpid $_, 0; $? >> 8 } @pids;
        is_deeply [sort @status], [0, 1], "round $round: one is told that it did, one that it did not" or diag map { PWK::Server::slurp($_) } glob "$dir/*.err";
        my $won = $status[0] ? 'failed' : 'placed';
        is state_of($id), $won, "round $round: and it is so";
        like sql("SELECT note FROM payway_purchase WHERE id = '$id'"), qr/: $won\z/, "round $round: with that note alone";
        like PWK::Server::slurp("$dir/" . ($won eq 'placed' ? 'failed' : 'placed') . '.err'), qr/somebody else was faster, it is $won now|is $won: only manual/, "round $round: the other is told";
    }
};

subtest 'while httpd sells' => sub {
    $sim->shape(products_delay => 0, orders_delay => 0);
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        my $good = eval {
            for (1 .. 5) {
                my ($sale) = buyer();
                $sale->whole('/premium/a.html')->url =~ m{/payway/confirm/} or die "not sold\n";
            }
            1;
        };
        POSIX::_exit($good ? 0 : 1);
    }
    my @bad;
    for (1 .. 20) {
        my ($status, $out, $err) = ledger('list', @IT, '--all', '--format=csv');
        push @bad, $err if $status || !csv($out);
    }
    waitpid $pid, 0;
    is $?, 0, 'everything was sold';
    is_deeply \@bad, [], 'and every list was whole';
};

# -- verify

my $good = "$dir/good.db";
sql("DELETE FROM payway_purchase WHERE state <> 'confirmed' AND id NOT IN ('$row{failed}', '$row{created}', '$row{expired}', '$row{placed}', '$row{unknown}')");
sql(".backup $good");
my $copies = 0;
sub changed (@statements) {
    my $copy = "$dir/copy" . ++$copies . '.db';
    copy($good, $copy) or die "$copy: $!";
    sql($_, $copy) for @statements;
    if ($USER) { chown((getpwnam $USER)[2, 3], $copy, $dir) }
    return $copy;
}

subtest 'verify: each thing that cannot be, and each that needs a person' => sub {
    my $copy = changed('SELECT 1');
    my ($status, $out, $err) = ledger('verify', '--ledger', "sqlite3 $copy");
    like "$status|$out|$err", qr/\A0\|purchases=\d+ findings=0\n\|\z/, 'a good one';
    my $set = sub ($state, $change) { return "UPDATE payway_purchase SET $change WHERE id = '$row{$state}'" };
    my $two = "(SELECT id FROM payway_purchase WHERE state = 'confirmed' LIMIT 2)";
    for my $case (
        ['state',        'failed',    $set->('failed',    "state = 'gone'")],
        ['type',         'failed',    $set->('failed',    "period_type = 'weekly'")],
        ['number',       'failed',    $set->('failed',    "negatives = 'few'")],
        ['number',       'failed',    $set->('failed',    'looked = -1')],
        ['manual',       'unknown',   $set->('unknown',   "state = 'manual', next_look = 0")],
        ['order_exists', 'failed',    $set->('failed',    "order_id = 'EXAMPLE-999'")],
        ['overdue',      'unknown',   $set->('unknown',   "state = 'placing', due = due - 3600, claimed = claimed - 3600, created = created - 3600")],
        ['old_unknown',  'unknown',   $set->('unknown',   'claimed = claimed - 172801, due = due - 172801, created = created - 172801')],
        ['old_placed',   'placed',    $set->('placed',    'changed = changed - 100000, claimed = claimed - 100000, due = due - 100000, created = created - 100000')],
        ['forgotten',    'created',   $set->('created',   'next_look = 0')],
        ['forgotten',    'created',   $set->('created',   'next_look = 1, changed = changed - 9000, created = created - 9000')],
        ['bad_id',       undef,       $set->('failed',    "id = 'X'")],
        ['no_account',   'failed',    $set->('failed',    "account = ''")],
        ['no_claim',     'placed',    $set->('placed',    "token_hash = ''")],
        ['no_claim',     'unknown',   $set->('unknown',   "state = 'placing', due = 0")],
        ['early_claim',  'expired',   $set->('expired',   'claimed = changed, due = changed')],
        ['times',        'placed',    $set->('placed',    'created = claimed + 10, changed = claimed + 10')],
        ['times',        'placed',    $set->('placed',    'grant_until = grant_from - 1')],
        ['times',        'placed',    $set->('placed',    'changed = created - 1')],
        ['future',       'placed',    $set->('placed',    'changed = changed + 864000')],
        ['facts',        'placed',    $set->('placed',    "facts = '{'")],
        ['two_running',  undef,       'DROP INDEX payway_purchase_running', "UPDATE payway_purchase SET account = (SELECT account FROM payway_purchase WHERE state = 'placed') WHERE state = 'unknown'"],
        ['order_twice',  undef,       "UPDATE payway_purchase SET order_id = 'EXAMPLE-2' WHERE id IN $two"],
        ['token_twice',  undef,       'DROP INDEX payway_purchase_token', "UPDATE payway_purchase SET token_hash = '" . 'ab' x 32 . "' WHERE id IN $two"],
        ['damaged',      undef,       "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '(changed)', '(id)') WHERE name = 'payway_purchase_ended'"],
    ) {
        my ($word, $state, @statements) = @$case;
        my $there = changed(@statements);
        my ($status, $out, $err) = ledger('verify', '--ledger', "sqlite3 $there", '--format=json');
        my @found = json($out);
        my ($hit) = grep { $_->{finding} eq $word } @found;
        is $status, 1, "$word: status";
        ok $hit, "$word: found" or diag $out, $err;
        is $hit->{id}, $row{$state}, "$word: by its id" if $state;
        ok length $hit->{todo}, "$word: and what to do";
        is_deeply [grep { $_->{finding} ne $word } @found], [], "$word: and nothing else" unless $word eq 'damaged';
        push @said, $out;
        next unless $word =~ /\A(?:manual|state|order_twice)\z/;
        ($status, $out) = ledger('verify', '--ledger', "sqlite3 $there");
        like $out, qr/\A(?:[0-9a-f]{32}  \S.*: \S.*\n)+purchases=\d+ findings=\d+\n\z/, "$word: in words";
        my ($row) = csv((ledger('verify', '--ledger', "sqlite3 $there", '--format=csv'))[1]);
        is $row->{finding}, $word, "$word: as CSV";
    }
    my $there = changed($set->('failed', "state = 'gone'"));
    for my $what ('list', 'export') {
        my ($status, $out, $err) = ledger($what, '--ledger', "sqlite3 $there", '--format=json', $what eq 'list' ? '--all' : ());
        is $status, 1, "$what of a ledger with a row that cannot be read: not all";
        like $err, qr/payway-klarna ledger verify/, 'and what to do';
        is scalar(json($out)), sql('SELECT COUNT(*) FROM payway_purchase', $good) - 1, 'but the others';
    }
};

# -- which ledger

subtest 'which ledger' => sub {
    my $other = changed('DELETE FROM payway_purchase');
    my @count = ('ledger', 'export', '--format=json');
    my $lines = sub (@run) { my ($status, $out) = tool(@run); return $status ? "status $status" : $out =~ tr/\n// };
    my $all = sql('SELECT COUNT(*) FROM payway_purchase');
    is $lines->({env => {PAYWAY_LEDGER => "sqlite3 $LEDGER"}}, @count), $all, 'the environment';
    is $lines->({env => {PAYWAY_LEDGER => "sqlite3 $LEDGER"}}, @count, '--ledger', "sqlite3 '$other'"), 0, 'the option before it';
    is $lines->({env => {PAYWAY_LEDGER => "sqlite3 $other"}}, @count, '--config', $server->path('conf/httpd.conf')), $all, 'the configuration of httpd';
    $server->file('conf/main.conf', <<~"CONF");
        # PaywayLedger sqlite3 /nowhere
        ServerRoot "@{[$server->root]}"
        Include conf/more/*.conf
        IncludeOptional conf/none/*.conf
        CONF
    $server->file('conf/more/a.conf', qq{<VirtualHost *:80>\n    PaywayLedger sqlite3 \\\n  run/ledger.db\n</VirtualHost>\n});
    $server->file('conf/more/b.conf', qq{paywayledger "sqlite3" "run/ledger.db"\n});
    is $lines->(@count, '--config', $server->path('conf/main.conf')), $all, 'what it includes; one ledger named twice';
    my $password = PWK::Server::random_text(9);
    $server->file('conf/more/c.conf', qq{PaywayLedger pgsql "host=db.example.se dbname=payway user=payway password='it\\'s $password'"\n});
    $server->file('conf/more/d.conf', qq{PaywayLedger pgsql postgresql://payway:$password\@db2.example.se/payway?x=1\n});
    my ($status, $out, $err) = tool(@count, '--config', $server->path('conf/main.conf'));
    is "$status|$out", '2|', 'several: none is chosen';
    like $err, qr{names 3 ledgers.*\n.*    sqlite3 \Q$LEDGER\E\n.*    pgsql host=db\.example\.se dbname=payway user=payway\n.*pgsql postgresql://db2\.example\.se/payway\n}s, 'and they are listed';
    unlike $err, qr/\Q$password\E/, 'without a password';
    $server->file('conf/empty.conf', "Listen 80\n");
    is +(tool(@count, '--config', $server->path('conf/empty.conf')))[0], 2, 'a configuration without one';
    is +(tool(@count, '--config', $server->path('conf/nothing.conf')))[0], 2, 'and one that is not there';
    is +(tool(@count, '--config', 'x', @IT))[0], 2, 'not both';
    $server->file('conf/loop.conf', "Include loop.conf\n");
    is +(tool(@count, '--config', $server->path('conf/loop.conf')))[0], 2, 'nor one that includes itself';

    for my $params ("host=127.0.0.1 port=1 user=u password=$password", qq{"host=127.0.0.1 port=1 user=u password='$password"},
        "postgresql://u:$password\@127.0.0.1:1/x", "postgresql://u:$password\@\@127.0.0.1:1/x", "postgresql://u:$password?\@127.0.0.1:1/x",
        "host=127.0.0.1 port=1 $password", "$password", "postgresql://127.0.0.1:1/x?password=$password\@x") {
        for my $way ([{env => {PAYWAY_LEDGER => "pgsql $params"}}, @count], [@count, '--ledger', "pgsql $params"]) {
            my ($status, $out, $err) = tool(@$way);
            is "$status|$out", '2|', 'a server that is not there';
            like $err, qr/\Apayway-klarna: pgsql.*: (?:opening the database|loading the driver): \S/, 'is said to be so';
            unlike $out . $err, qr/\Q$password\E/, 'without the password';
        }
    }
    is +(tool(@count, '--ledger', $_))[0], 2, "\"$_\" is none" for '', 'sqlite3', $LEDGER, "mysql $LEDGER", "sqlite3 $LEDGER more";
};

subtest 'what is no ledger is left as it is' => sub {
    my $text = $server->file('tool/text.db', "hello\n" x 1000);
    my $empty = $server->file('tool/empty.db', '');
    my $alien = "$dir/alien.db";
    sql('CREATE TABLE t (x); INSERT INTO t VALUES (1)', $alien);
    my $newer = changed('INSERT INTO payway_schema VALUES (99)');
    my $older = changed('UPDATE payway_schema SET version = 1', 'DROP INDEX payway_purchase_look', 'ALTER TABLE payway_purchase DROP COLUMN next_look', 'ALTER TABLE payway_purchase DROP COLUMN note');
    my $cut = changed('SELECT 1');
    truncate $cut, 6000 or die "$cut: $!";
    if ($USER) { chown((getpwnam $USER)[2, 3], $text, $empty, $alien, $dir) }
    for my $case (
        [$text, qr/is no ledger|cannot be read/], [$empty, qr/is no ledger/], [$alien, qr/is no ledger of payway_klarna/], [$dir, qr/is no file/],
        [$newer, qr/version 99, and this tool knows \d/], [$older, qr/version 1, and this tool knows \d: httpd brings/], [$cut, qr/cannot be read|malformed|is no ledger/],
        ["$dir/none.db", qr/No such file/], ["$dir/none/x.db", qr/No such file/],
    ) {
        my ($file, $words) = @$case;
        my $before = -f $file ? PWK::Server::slurp($file) : undef;
        for my $command (['list'], ['verify'], ['export', '--format=csv'], ['show', $row{placed}], ['resolve', $row{unknown}, 'placed', '--note', 'x']) {
            my ($status, $out, $err) = ledger(@$command, '--ledger', "sqlite3 $file");
            is $status, 2, "$command->[0] " . ($file =~ s{.*/}{}r);
            like $err, $words, 'says what it is';
        }
        is -f $file ? PWK::Server::slurp($file) : undef, $before, 'and it is unchanged';
        ok !-e "$file-wal", 'with nothing beside it';
    }
};

# -- who runs it

subtest 'root becomes the owner; others are told' => sub {
    my $big = changed(qq{WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
        INSERT INTO payway_purchase (id, site, organisation, environment, account, state, period_type, facts, created, changed)
        SELECT printf('%032x', i), 's', 'o', 'e', 'a' || i, 'expired', 'limited', '{}', 1, 1 FROM n});
    my ($uid, $gid) = (getpwnam $USER)[2, 3];
    pipe my $from, my $to or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDOUT, '>&', $to or POSIX::_exit(126);
        close $from;
        exec $TOOL, 'ledger', 'export', '--format=csv', '--ledger', "sqlite3 $big" or POSIX::_exit(127);
    }
    close $to;
    sysread $from, my $first, 1;    # the pipe is full soon, and the ledger open
    my ($status) = PWK::Server::slurp("/proc/$pid/status");
    like $status, qr/^Uid:\t$uid\t$uid\t$uid\t$uid$/m, 'it is the owner, for good';
    like $status, qr/^Gid:\t$gid\t$gid\t$gid\t$gid$/m, 'with the group';
    unlike $status, qr/^Groups:.*\b0\b/m, 'and none of root\'s';
    for my $file ("$big-wal", "$big-shm") {
        is join('|', (stat $file)[4, 5]), "$uid|$gid", 'a file beside it is the server\'s: ' . substr $file, -3;
    }
    my $rest = do { local $/; <$from> };
    waitpid $pid, 0;
    is $?, 0, 'and it ends well';
    is scalar(csv($first . $rest)), 2000 + sql('SELECT COUNT(*) FROM payway_purchase', $good), 'with every row';

    is +(ledger({as => $USER}, 'list', @IT))[0], 0, 'the server\'s user';
    my ($other) = grep { $_ ne $USER && defined getpwnam $_ } qw(nobody daemon);
    my ($code, $out, $err) = ledger({as => $other}, 'list', @IT);
    is $code, 2, 'another user may not';
    like $err, qr/run this as root, or as \Q$USER\E$|Permission denied$/, 'and is told who may';
    my $foreign = changed('SELECT 1');
    chmod 0640, $foreign;
    chmod 0755, $dir;
    ($code, $out, $err) = ledger({as => $other}, 'list', '--ledger', "sqlite3 $foreign");
    is $code, 2, 'nor where the directory is open';
    like $err, qr/run this as root, or as \Q$USER\E$/, 'and is told who may';
} if $USER;

# -- the program

subtest 'help, version, wrong usage' => sub {
    for my $words (['--help'], ['ledger', '--help'], map { ['ledger', $_, '--help'] } qw(list show resolve verify export)) {
        my ($status, $out, $err) = tool(@$words);
        is "$status|$err", '0|', "@$words";
        like $out, qr/\Apayway-klarna .*:/, 'says what it is';
    }
    my ($status, $out) = tool('--version');
    my ($version) = PWK::Server::slurp("$PWK::Server::SRCDIR/configure.ac") =~ /AC_INIT\(\[\w+\], \[([\d.]+)\]/;
    is $out, "payway-klarna $version\n", 'the version';
    is +(tool(@$_))[0], 2, "wrong: @$_" for [], ['probes'], ['ledger'], ['ledger', 'lists'], ['ledger', 'list', 'x', @IT], ['ledger', 'list', '--frob', @IT],
        ['ledger', 'list', '--format=xml', @IT], ['ledger', 'list', '--limit=0', @IT], ['ledger', 'list', '--limit=x', @IT], ['ledger', 'list', '--since=yesterday', @IT],
        ['ledger', 'list', '--since=2026-13-01', @IT], ['ledger', 'list', '--state=open', @IT], ['ledger', 'list', '--state=', @IT], ['ledger', 'list', '--all', '--state=manual', @IT],
        ['ledger', 'show', @IT], ['ledger', 'show', $row{placed}, '--format=csv', @IT], ['ledger', 'verify', '--all', @IT], ['ledger', 'list', '--account', @IT[0 .. 0]];
    my $man = PWK::Server::slurp("$PWK::Server::SRCDIR/docs/payway-klarna.1") =~ s/\\-/-/gr;
    my %option = map { ($_ => 1) } map { (tool('ledger', $_, '--help'))[1] =~ /^  (--[\w-]+)/mg } qw(list show resolve verify export);
    is_deeply [grep { index($man, $_) < 0 } sort keys %option], [], 'the manual page has every option';
    is_deeply [grep { !$option{$_} && $_ ne '--version' } $man =~ /(--[a-z][a-z-]+)/g], [], 'and no other';
    is `groff -man -Tutf8 -ww -z '$PWK::Server::SRCDIR/docs/payway-klarna.1' 2>&1`, '', 'and is good troff';
};

subtest 'make install puts it there, make uninstall takes it away' => sub {
    my $to = tempdir('pwk-install-XXXXXXXX', TMPDIR => 1, CLEANUP => 1);
    my $there = sub { return sort grep { $_ =~ m{/payway-klarna(?:\.1)?\z} } split /\n/, `find '$to' -type f` };
    my $said = `make -C '$PWK::Server::BUILDDIR' install DESTDIR='$to' 2>&1`;
    is $?, 0, 'installed' or diag $said;
    is_deeply [map {s{.*/(bin|man1)/}{$1/}r} $there->()], ['bin/payway-klarna', 'man1/payway-klarna.1'], 'tool and manual page';
    my ($installed) = $there->();
    like `'$installed' --version`, qr/\Apayway-klarna /, 'it runs from there';
    $said = `make -C '$PWK::Server::BUILDDIR' uninstall DESTDIR='$to' 2>&1`;
    is $?, 0, 'uninstalled' or diag $said;
    is_deeply [$there->()], [], 'and gone';
};

subtest 'nothing secret was ever printed' => sub {
    my @secret = grep {length} map { split /\|/ } split /\n/, sql('SELECT sale, session, redirect, token_hash FROM payway_purchase', $good);
    push @secret, map { PWK::Server::slurp($server->path("secrets/$_")) =~ s/\s+\z//r } qw(key client);
    cmp_ok scalar @secret, '>', 15, 'there are secrets';
    my $all = join "\n", @said;
    cmp_ok length $all, '>', 20_000, 'and a lot was printed';
    is_deeply [grep { index($all, $_) >= 0 } @secret], [], 'none of them';
    is_deeply [grep { index($all, substr $_, 0, 24) >= 0 } grep { length > 24 } @secret], [], 'nor how they begin';
    unlike $all, qr/operated\d+\@example/, 'and no person';
};

done_testing;
