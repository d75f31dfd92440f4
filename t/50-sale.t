#!/usr/bin/perl

# The guide from the press of a button to the article: session, purchase page, order, redirect, confirmation. What Payway
# is told, and that it comes from the location whose wall sold it.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use POSIX     qw(strftime);
use PWK::Sale ();
use PWK::Test;
use Time::HiRes qw(sleep time);

my $TRIAL   = '5f0d9ea795cfebfb8544ab20';
my @PERIODS = (
    {id => $PWK::Test::PERIOD, type => 'recurring', iteration_type => 'month', iteration_length => 1, price => 149},
    {id => '5f0d9ea795cfebfb8544ab13', type => 'recurring', iteration_type => 'year', iteration_length => 1, price => 1490},
);
my $DAY = {id => '5f0d9ea795cfebfb8544ab14', type => 'limited', iteration_type => 'day', iteration_length => 1, price => 29};
my %package = (organisation => $PWK::Test::ORGANISATION, products => ['example_web']);
my ($sim, $server) = paywall(
    sells      => 1,
    log_level  => 'warn payway_klarna:trace8',
    directives => <<~"MORE",
        PaywayOffer year    code=example_digital products=example_web
        PaywayOffer day     code=example_day type=limited products=example_web
        PaywayOffer later   code=example_paper products=example_paper start=+3d
        PaywayOffer latest  code=example_paper products=example_paper start=+5d
        PaywayOffer trial   code=example_trial period=$TRIAL trial=on products=example_web "price=129 kr per månad" "price.en=SEK 129 per month"
        PaywayOffer promo   code=example_promo products=example_web
        <Location /all>
            AuthType Payway
            Require  payway-product example_web
            PaywayOffers digital year day trial promo
            PaywayDisableAccountInfoOverwrite On
            PaywayRaiseOnSsnAlreadyTakenError Off
            PaywayRaiseOnSsnAlreadySetError On
            PaywayRaiseOnAccountUpdateError On
            PaywayRaiseOnDeliveryAddressError On
            PaywayKlarnaCategories pay_later pay_now
            PaywayTrafficSource "wall-%{tolower:%{QUERY_STRING}}"
            PaywayMerchantReference "ref %{QUERY_STRING}"
        </Location>
        <Location /later>
            AuthType Payway
            Require  payway-product example_paper
        </Location>
        MORE
    seed => {
        packages => [
            {%package, code => 'example_digital', name => 'Exempel Digital', description => 'Allt på webben', periods => \@PERIODS},
            {%package, code => 'example_day', name => 'Ett dygn', periods => [$DAY]},
            {%package, code => 'example_paper', name => 'Papper', products => ['example_paper'],
                periods => [{%{$PERIODS[0]}, id => '5f0d9ea795cfebfb8544ab15', price => 399}]},
        ],
        campaigns => [
            {%package, code => 'example_trial', name => 'Prova', trial => 1,
                periods => [{%{$PERIODS[0]}, id => $TRIAL, price => 0}]},
            {%package, code => 'example_promo', name => 'Kampanj', periods => [{%{$PERIODS[0]}, id => '5f0d9ea795cfebfb8544ab21', price => 49}]},
        ],
    },
);
$server->file("docroot/$_/a.html", "SENTINEL-\U$_\E\n") for qw(all later);

my $API = '/external/api/v1/klarna_payments';
my $n   = 0;
my $KLARNA_HOST = $sim->klarna =~ s{http://}{}r;

# A new account, logged in, and what it buys with.
sub buyer (%account) {
    my $password = PWK::Server::random_text(9);
    my $email    = 'buyer' . ++$n . '@example.se';
    my $account  = $sim->new_account({email => $email, password => $password, organisation => $PWK::Test::ORGANISATION, %account});
    my $client   = PWK::Client->new(base => $server->url, headers => ['Accept-Language' => 'sv']);
    log_in($client, {email => $email, password => $password});
    return (PWK::Sale->new(sim => $sim, client => $client, account => $account->{id}), $client, $account->{id});
}
sub calls ($path) { return grep { $_->{path} eq "$API/$path" } $sim->requests(role => 'api') }
sub flags (%flag) { return map { ($_ => $flag{$_} ? JSON::PP::true : JSON::PP::false) } keys %flag }

subtest 'from the wall to the article' => sub {
    my ($sale, $client, $account) = buyer();
    my $wall = $client->follow($client->navigate('/premium/a.html?utm=1'));
    is $wall->status, 402, 'the wall';
    $sim->clear_requests;
    my $answer = $sale->buy($wall);
    is $answer->status, 303, 'buy redirects';
    like $answer->location, qr{\A\Q@{[$server->url]}\E/payway/purchase/[0-9a-f]{32}\z}, 'to the purchase page';
    my ($session) = calls('create_session');
    my $id = $answer->location =~ s{.*/}{}r;
    is_deeply $session->{json}, {
        code => 'example_digital', period_type => 'recurring', period_id => $PWK::Test::PERIOD,
        confirmation_url => $server->url("/payway/confirm/$id"), flags(disable_account_info_overwrite => 0),
    }, 'create_session: what the guide names, and nothing else';

    my $page = $client->follow($answer);
    is $page->status, 200, 'the purchase page';
    like $page->body, qr/Exempel Digital.*149.*kr/s, 'says what it is and costs';
    like $page->body, qr/Beställ med betalningsskyldighet/, 'its button names the obligation to pay';
    like $page->body, qr/\Q$_\E/, "$_ stands on it" for $server->url('/villkor.html'), $server->url('/integritet.html'), $server->url('/angra.html');
    is $page->header('Cache-Control'), 'no-store', 'stored by nobody';
    my $policy = $page->header('Content-Security-Policy');
    like $policy, qr/script-src 'self'[^;]*\Q@{[$sim->klarna]}\E/, 'script of this site and of Klarna';
    unlike $policy =~ s/style-src[^;]*//r, qr/unsafe|nonce/, 'no inline script';
    like $policy, qr/frame-ancestors 'none'/, 'in no frame';
    like $policy, qr/form-action [^;]*'self'[^;]*\Q$KLARNA_HOST\E/, 'and the form may be redirected to Klarna';
    is $page->header('Cross-Origin-Opener-Policy'), 'same-origin-allow-popups', 'popups keep their opener';

    my $placed = $sale->authorize($page);
    is $placed->status, 303, 'authorize redirects';
    like $placed->location, qr{\A\Q@{[$sim->klarna]}\E/redirect/}, 'to Klarna';
    ok $placed->cookie('payway'), 'with a new cookie';
    my ($order) = calls('place_order');
    my $body = $order->{json};
    like delete $body->{klarna_authorization_token}, qr/\A[0-9a-f-]{36}\z/, 'place_order: the authorization';
    is_deeply $body, {
        klarna_payments_session_id => PWK::Sale::session($page), browser_ip => '127.0.0.1', browser_language => 'sv-SE',
        browser_user_agent => 'Mozilla/5.0 (X11; Linux x86_64) PWK-Client', merchant_reference => $id,
        flags(raise_on_ssn_already_taken_error => 1, raise_on_ssn_already_set_error => 0, raise_on_account_update_error => 0,
            raise_on_delivery_address_error => 0),
    }, 'what the guide names, and nothing else';
    my $read = $client->twin->get('/premium/a.html?utm=1');
    is $read->status, 200, 'the article is open before the confirmation was seen';

    my $confirmation = $client->follow($placed);
    like $confirmation->url, qr{/payway/confirm/$id\z}, 'Klarna sends back to the confirmation';
    is $confirmation->status, 200, 'which is there';
    like $confirmation->body, qr/Exempel Digital/, 'says what was bought';
    like $confirmation->body, qr/EXAMPLE-\d+/, 'and the order id';
    like $confirmation->body, qr{href="/premium/a\.html\?utm=1"}, 'and leads to the article';
    like $client->get('/premium/a.html?utm=1')->body, qr/SENTINEL-A/, 'which opens';
    is scalar(my @once = calls('place_order')), 1, 'one order';
    is scalar(my @charges = grep { $_->{account} eq $account } $sim->charges), 1, 'one charge';
    my $end = time + 10;
    sleep 0.1 while $sale->state($id)->{state} ne 'confirmed' && time < $end;
    is $sale->state($id)->{state}, 'confirmed', 'and the ledger knows, once Payway shows the products';
};

subtest 'what Payway is told comes from the wall that sold it' => sub {
    for my $case (
        ['/premium/a.html?x', 'digital', {}, {raise_on_ssn_already_taken_error => 1}],
        ['/all/a.html?News', 'digital', {traffic_source => 'wall-news', reference => 'ref-News'},
            {disable_account_info_overwrite => 1, raise_on_ssn_already_set_error => 1, raise_on_account_update_error => 1, raise_on_delivery_address_error => 1}],
    ) {
        my ($path, $offer, $text, $flag) = @$case;
        my ($sale, $client) = buyer();
        $sim->clear_requests;
        my $page = $sale->press($path, $offer);
        my @shown = $page->body =~ /data-category="([^"]*)"/g;
        is_deeply \@shown, $path =~ /all/ ? [qw(pay_later pay_now)] : [''], "$path: categories";
        $sale->authorize($page);
        my ($session, $order) = map { (calls($_))[0]{json} } qw(create_session place_order);
        is $session->{disable_account_info_overwrite}, $flag->{disable_account_info_overwrite} ? JSON::PP::true : JSON::PP::false,
            "$path: disable_account_info_overwrite";
        for my $name (map {"raise_on_${_}_error"} qw(ssn_already_taken ssn_already_set account_update delivery_address)) {
            is $order->{$name}, $flag->{$name} ? JSON::PP::true : JSON::PP::false, "$path: $name";
        }
        is $order->{traffic_source}, $text->{traffic_source}, "$path: traffic_source";
        is $order->{merchant_reference}, join('_', PWK::Sale::id($page), $text->{reference} // ()), "$path: merchant_reference";
    }
    my ($sale, $client) = buyer();
    my $first  = $sale->press('/premium/a.html');
    my $second = $sale->press('/all/a.html?Two');
    isnt PWK::Sale::id($second), PWK::Sale::id($first), 'another setting of the session: another session';
    is $client->get('/payway/purchase/' . PWK::Sale::id($first))->body =~ /data-error="(\w+)"/ ? $1 : '', 'session_expired', 'and the first is over';
    $sim->clear_requests;
    my $third = $sale->press('/all/a.html?Three');
    is PWK::Sale::id($third), PWK::Sale::id($second), 'the same setting: the same session';
    $sale->authorize($third);
    is((calls('place_order'))[0]{json}{traffic_source}, 'wall-three', 'and what the last wall says of the order');
};

subtest 'packages, campaigns, periods, start dates' => sub {
    my $date = strftime('%Y-%m-%d', localtime(time + 3 * 24 * 3600));
    for my $case (
        # offer, path, form, what create_session says, which call places it
        ['year', '/all/a.html', {period => $PERIODS[1]{id}}, {code => 'example_digital', period_type => 'recurring', period_id => $PERIODS[1]{id}}],
        ['day',  '/all/a.html', {}, {code => 'example_day', period_type => 'limited', period_id => $DAY->{id}}],
        ['promo', '/all/a.html', {}, {code => 'example_promo', period_type => 'recurring', period_id => '5f0d9ea795cfebfb8544ab21'}],
        ['later', '/later/a.html', {}, {code => 'example_paper', period_type => 'recurring', period_id => '5f0d9ea795cfebfb8544ab15', start_date => $date}],
    ) {
        my ($offer, $path, $form, $said) = @$case;
        my ($sale, $client) = buyer();
        $sim->clear_requests;
        my $page = $sale->press($path, $offer, %$form);
        my %sent = %{(calls('create_session'))[0]{json}};
        delete @sent{qw(confirmation_url disable_account_info_overwrite)};
        is_deeply \%sent, $said, "$offer: create_session";
        my $end = $client->follow($sale->authorize($page));
        like $end->url, qr{/payway/confirm/}, "$offer: bought";
        is $client->get($path)->status, $offer eq 'later' ? 402 : 200, "$offer: " . ($offer eq 'later' ? 'closed until it starts' : 'open');
        like $end->body, qr/\Q$date\E/, "$offer: the confirmation names the day" if $offer eq 'later';
        is $sale->press($path, $offer)->url, $end->url, "$offer: pressed again it shows what is bought" if $offer eq 'later';
        # What starts later is waited for by nobody: another thing can be bought.
        like $sale->whole('/all/a.html', 'day')->url, qr{/payway/confirm/}, "$offer: and something else beside" if $offer eq 'later';
    }
    my ($sale, $client) = buyer();
    is $sale->buy('/all/a.html', 'year', period => 'f' x 24)->status, 400, 'a period that is not sold';
    is $sale->buy('/all/a.html', 'year', period => $DAY->{id})->status, 400, 'a period of something else';
};

subtest 'what starts later is bought once, by whichever offer' => sub {
    my ($sale, $client, $account) = buyer();
    my $page  = $sale->press('/later/a.html', 'later');
    my $other = $sale->press('/later/a.html', 'latest');
    isnt PWK::Sale::id($page), PWK::Sale::id($other), 'two offers of one product, both at hand';
    my $end = $client->follow($sale->authorize($page));
    like $end->url, qr{/payway/confirm/}, 'one is bought';
    $sim->clear_requests;
    is $client->follow($sale->authorize($other))->url, $end->url, 'the other, approved after it, leads to what is bought';
    is scalar(my @sent = calls('place_order')), 0, 'and is not sent';
    is scalar(grep { $_->{account} eq $account } $sim->charges), 1, 'charged once';
};

subtest 'a trial' => sub {
    my ($sale, $client, $account) = buyer();
    my $wall = $client->get('/all/a.html');
    like $wall->body, qr/Gratis.*Därefter 129 kr per månad/s, 'the wall says what it costs after';
    $sim->shape(session_categories => 'list');
    my $page = $sale->press($wall, 'trial');
    $sim->shape(session_categories => 'none');
    like $page->body, qr/Gratis.*Därefter 129 kr per månad/s, 'and the purchase page';
    my @shown = $page->body =~ /data-category="([^"]*)"/g;
    is_deeply \@shown, ['direct_debit'], 'direct debit alone, whatever the location and the session say';
    $sim->clear_requests;
    my $end = $client->follow($sale->authorize($page, category => 'direct_debit'));
    like $end->url, qr{/payway/confirm/}, 'bought';
    is scalar(my @trial = calls('place_trial_order')), 1, 'by place_trial_order';
    is scalar(my @order = calls('place_order')), 0, 'and not by place_order';
    is $client->get('/all/a.html')->status, 200, 'reads';
    is $trial[0]{json}{traffic_source}, 'wall-', 'with the settings of its wall';
};

subtest 'a session only by the press, and one of it' => sub {
    my ($sale, $client) = buyer();
    $sim->clear_requests;
    $client->get('/premium/a.html') for 1 .. 1000;
    $client->get($_) for '/payway/buy', '/payway/offers', '/payway/purchase/' . '0' x 32;
    $client->head($_) for '/premium/a.html', '/payway/buy', '/payway/offers';
    is scalar(my @none = calls('create_session')), 0, 'a thousand walls, offers, GET and HEAD make none';
    my $page = $sale->press('/premium/a.html');
    my $id   = PWK::Sale::id($page);
    is PWK::Sale::id($sale->press('/premium/a.html')), $id, 'pressing again finds the same';
    is PWK::Sale::id($sale->press('/premium/b.html')), $id, 'from another article too';
    $client->get("/payway/purchase/$id") for 1 .. 20;
    is scalar(my @one = calls('create_session')), 1, 'and makes none; nor do reloads';
    $sale->authorize($page);
    my ($next) = buyer();
    isnt PWK::Sale::id($next->press('/premium/a.html')), $id, 'another reader has another';
};

subtest 'twenty presses at once' => sub {
    my ($sale, $client) = buyer();
    my %form = PWK::Sale::form($client->get('/premium/a.html'));
    $sim->clear_requests;
    $sim->fault(role => 'api', path => "$API/create_session", kind => 'delay', seconds => 1, times => 1);
    my $body = PWK::Client::form(\%form);
    my $cookie = $client->cookie_header($server->url . '/');
    my @sockets = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->port) // die "$@\n" } 1 .. 20;
    for my $socket (@sockets) {
        syswrite $socket, join "\r\n", 'POST /payway/buy HTTP/1.1', 'Host: 127.0.0.1:' . $server->port, "Cookie: $cookie",
            'Sec-Fetch-Site: same-origin', 'Content-Type: application/x-www-form-urlencoded', 'Content-Length: ' . length($body),
            'Connection: close', '', $body;
    }
    my %seen;
    for my $socket (@sockets) {
        local $/;
        my $answer = readline $socket;
        $seen{$answer =~ m{\AHTTP/1\.1 303 .*^Location: (\S+)}ms ? $1 : substr $answer, 0, 80}++;
    }
    is_deeply [values %seen], [20], 'all lead to one page' or diag explain \%seen;
    is scalar(my @one = calls('create_session')), 1, 'and one session was made';
};

subtest 'who pressed before logging in' => sub {
    my $password = PWK::Server::random_text(9);
    $sim->new_account({email => 'fresh@example.se', password => $password, organisation => $PWK::Test::ORGANISATION});
    my $client = PWK::Client->new(base => $server->url);
    my $sale   = PWK::Sale->new(sim => $sim, client => $client);
    $sim->clear_requests;
    my $answer = $sale->buy('/all/a.html?q=1', 'day');
    like $answer->location, qr{/payway/login\?}, 'logs in first';
    my $offers = log_in($client, {email => 'fresh@example.se', password => $password}, $answer->location);
    like $offers->url, qr{/payway/offers\?.*o=day}, 'comes back to the same offer';
    like $offers->body, qr/payway-offer-selected" id="offer-day"/, 'which is marked';
    is scalar(my @none = calls('create_session')), 0, 'nothing was made yet';
    my $page = $sale->press($offers, 'day');
    like $page->body, qr/Ett dygn.*29/s, 'and buys it';
    my $end = $client->follow($sale->authorize($page));
    like $end->body, qr{href="/all/a\.html\?q=1"}, 'for the article that was wanted';
};

subtest 'language: the wall\'s goes all the way' => sub {
    my ($sale, $client) = buyer();
    my $page = $sale->press('/premium/a.html?lang=en');
    like $page->body, qr/<html lang="en">.*Order with obligation to pay/s, 'the purchase page';
    like $client->get($page->url . '?lang=sv')->body, qr/<html lang="sv">/, 'unless the link says another';
    $sim->clear_requests;
    my $end = $client->follow($sale->authorize($page));
    like $end->body, qr/<html lang="en">/, 'the confirmation';
};

subtest 'shapes of the answers' => sub {
    for my $shape (
        {envelope => 'flat'}, {redirect_field => 'redirect_uri'}, {redirect_field => 'klarna_redirect_url', envelope => 'flat'},
        {order_fields => 'minimal'}, {order_fields => 'nested'}, {extra_fields => 1}, {session_status => 201, order_status => 201},
        {session_id => 'hex'}, {session_categories => 'list'},
    ) {
        my ($sale, $client) = buyer();
        $sim->shape(%$shape);
        my $page   = $sale->press('/premium/a.html');
        my $answer = $sale->authorize($page);
        my $said   = join ' ', map {"$_=$shape->{$_}"} sort keys %$shape;
        like $answer->location, qr{\A\Q@{[$sim->klarna]}\E/redirect/}, "$said: redirected to Klarna" or diag $page->status;
        is $client->get('/premium/a.html')->status, 200, "$said: reads";
        $sim->shape(envelope => 'item', redirect_field => 'redirect_url', order_fields => 'full', extra_fields => 0,
            session_status => 200, order_status => 200, session_id => 'uuid', session_categories => 'none');
    }
    $server->expect_log(qr/PWK0149/);
    for my $url (undef, '', 'https://evil.example/', "http://127.0.0.1.evil.example/", 'javascript:alert(1)', '//evil.example/',
        'https://klarna.com.evil.example/', 'https://user@payments.klarna.com/x') {
        my ($sale, $client) = buyer();
        $sim->shape(defined $url && length $url ? (redirect_value => $url) : (redirect_field => 'absent'));
        my $answer = $sale->authorize($sale->press('/premium/a.html'));
        like $answer->location, qr{\A\Q@{[$server->url]}\E/payway/confirm/}, 'redirect ' . ($url // 'absent') . ': to the confirmation';
        is $client->follow($answer)->status, 200, 'which is there';
        $sim->shape(redirect_value => '', redirect_field => 'redirect_url');
    }
};

subtest 'the ledger: no person, no token in clear, for nobody else to read' => sub {
    my ($sale, $client, $account) = buyer();
    my $page  = $sale->press('/premium/a.html?name=Alice');
    my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
    $sim->klarna_person($account, {ssn => '194103219202', given_name => 'Alice', family_name => 'Testsson'});
    my $end = $client->follow($sale->authorize($page, token => $token));
    like $end->url, qr{/confirm/}, 'bought';
    my $ledger = join '', map { PWK::Server::slurp($_) } glob $server->path('run/ledger.db*');
    like $ledger, qr/\Q@{[PWK::Sale::id($page)]}\E/, 'the purchase is there';
    like $ledger, qr/\Q$account\E/, 'with the account';
    my %canary = (
        'the authorization' => $token, 'the session' => PWK::Sale::session($page),
        'the client token' => PWK::Sale::attribute($page, 'data-client-token'), 'an e-mail address' => '@example.se', 'a name' => 'Testsson',
        'the personal number' => '194103219202', 'the query of the article' => 'Alice', 'the redirect' => '/redirect/',
    );
    unlike $ledger, qr/\Q$canary{$_}\E/, "$_ is not" for sort keys %canary;
    is sprintf('%04o', (stat $server->path('run/ledger.db'))[2] & 07777), '0640', 'the file is not for everybody';
};

subtest 'a secret is in no log line' => sub {
    my $log = join '', map { PWK::Server::slurp($_) } glob $server->path('logs/*_log');
    my @tokens = map { $_->{token} } $sim->charges;
    cmp_ok scalar(@tokens), '>', 10, 'tokens were used';
    is_deeply [grep { index($log, $_) >= 0 } @tokens], [], 'none is in a log';
    unlike $log, qr/\@example\.se|194103219202|Testsson/, 'nor is a person';
};

done_testing;
