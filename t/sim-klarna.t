#!/usr/bin/perl

# Klarna Payments at the simulator: sessions, authorizations, orders, what is refused and what is charged; and the
# stand-in for Klarna's own hosts. Spoken to over HTTP only; the script api.js is run in Chromium at the end.

use v5.36;
use utf8;
use FindBin qw($RealBin);
use lib "$RealBin/lib";
use HTTP::Tiny;
use JSON::PP ();
use MIME::Base64 qw(decode_base64url);
use POSIX qw(strftime);
use PWK::Sim;
use Test::More;
use Time::HiRes qw(sleep);

my ($TRUE, $FALSE) = (JSON::PP::true, JSON::PP::false);
my $JSON = JSON::PP->new->utf8->canonical;

sub random_text { open my $in, '<:raw', '/dev/urandom' or die; read $in, my $b, 16; return unpack 'H*', $b }

my ($SECRET, $OTHER_SECRET, $PASSWORD) = map { random_text() } 1 .. 3;
my $ANNA    = '0123456789abcdef01234567';
my $BERT    = '0123456789abcdef01234568';
my $MONTH   = '5f0d9ea795cfebfb8544ab12';
my $YEAR    = '5f0d9ea795cfebfb8544ab13';
my $OFF     = '5f0d9ea795cfebfb8544ab14';
my $CARD    = '5f0d9ea795cfebfb8544ab15';
my $TRIAL   = '5f0d9ea795cfebfb8544ab16';
my $THANKS  = 'http://127.0.0.1:9/thanks?a=1&b=x%20y';
my $UUID    = qr/\A[a-f\d]{8}-[a-f\d]{4}-4[a-f\d]{3}-[89ab][a-f\d]{3}-[a-f\d]{12}\z/;
my @SCOPES  = qw(/external/me/w /external/me/order/w /external/account/r /external/klarna_payments/w
    /external/klarna_payments/r /external/order/r);

my %seed = (
    organisations => [{id => 'example'}, {id => 'other'}],
    clients       => [
        {id => 'site', secret => $SECRET, organisation => 'example', scopes => \@SCOPES},
        {id => 'app',  secret => $SECRET, organisation => 'example', scopes => \@SCOPES},
        {id => 'foreign', secret => $OTHER_SECRET, organisation => 'other', scopes => \@SCOPES},
    ],
    accounts => [
        {id => $ANNA, organisation => 'example', email => 'anna@example.se', password => $PASSWORD, first_name => 'Anna'},
        {id => $BERT, organisation => 'example', email => 'bert@example.se', password => $PASSWORD},
    ],
    packages => [
        {code => 'digital', organisation => 'example', products => [qw(web app)], periods => [
            {id => $MONTH, price => 210}, {id => $YEAR, type => 'limited', iteration_type => 'year', price => 2100},
            {id => $OFF, enabled => $FALSE, price => 1}, {id => $CARD, payment_method => 'adyen', price => 220}]},
        {code => 'web_only', organisation => 'example', products => ['web'], periods => [{price => 99.5}]},
        {code => 'old', organisation => 'example', active => $FALSE, periods => [{price => 1}]},
        {code => 'empty', organisation => 'example', periods => []},
    ],
    campaigns => [
        {code => 'half_price', organisation => 'example', products => ['web'], periods => [{price => 105}]},
        {code => 'free_month', organisation => 'example', products => ['web'], trial => $TRUE,
            periods => [{id => $TRIAL, price => 210}]},
    ],
);

my $sim  = PWK::Sim->start(seed => \%seed);
my $http = HTTP::Tiny->new(max_redirect => 0, timeout => 20, keep_alive => 0);

# -- helpers

sub answer ($method, $url, %with) {
    my $got = $http->request($method, $url, \%with);
    $got->{json} = eval { $JSON->decode($got->{content}) };
    return $got;
}

sub token (%form) {
    my %with = (grant_type => 'none', client_id => 'site', client_secret => $SECRET, scope => "@SCOPES", %form);
    my $got  = answer(POST => $sim->api . '/api/authorization/access_token', content => $http->www_form_urlencode(\%with),
        headers => {'Content-Type' => 'application/x-www-form-urlencoded'});
    return $got->{json}{access_token} // die "no token: $got->{content}";
}

sub token_of ($account, $client = 'site') {
    return token(grant_type => 'ticket', client_id => $client, ticket => $sim->ticket($account, $client));
}

my ($anna, $bert, $plain);

sub fresh { $sim->reset; ($anna, $bert, $plain) = (token_of($ANNA), token_of($BERT), token()) }

sub get ($token, $path, %query) {
    my $query = %query ? '?' . $http->www_form_urlencode(\%query) : '';
    return answer(GET => $sim->api . "/external/api/$path$query", headers => {Authorization => "Bearer $token"});
}

sub post ($token, $path, $body) {
    return answer(POST => $sim->api . "/external/api/$path", content => $JSON->encode($body),
        headers => {Authorization => "Bearer $token", 'Content-Type' => 'application/json'});
}

sub without ($hash, @names) { my %copy = %$hash; delete @copy{@names}; return \%copy }

# create_session: v1 with identity, or v2 without.
sub create ($token = $anna, %more) {
    my %body = (code => 'digital', period_type => 'recurring', confirmation_url => $THANKS, %more);
    return post($token, ($token eq $plain ? 'v2' : 'v1') . '/klarna_payments/create_session',
        without(\%body, grep { !defined $body{$_} } keys %body));
}

sub session (@with) {
    my $got = create(@with);
    my $json = $got->{json};
    return ($json->{item} // $json)->{klarna_payments_session_id} // die "no session: $got->{content}";
}

my %BROWSER = (browser_ip => '192.0.2.1', browser_language => 'sv-SE', browser_user_agent => 'Mozilla/5.0');
my %NEW     = (email => 'new@example.se', first_name => 'Nya', last_name => 'Nilsson');

sub order_body ($session, %more) {
    my %body = (klarna_payments_session_id => $session, %BROWSER, %more);
    $body{klarna_authorization_token} //= $sim->authorize($session);
    return \%body;
}

sub place ($session, %more)       { return post($anna, 'v1/klarna_payments/place_order', order_body($session, %more)) }
sub place_trial ($session, %more) { return post($anna, 'v1/klarna_payments/place_trial_order', order_body($session, %more)) }

sub place_new ($session, %more) {
    return post($plain, 'v2/klarna_payments/place_order', order_body($session, customer_info => \%NEW, %more));
}

sub error_is ($got, $status, $code, $field, $name) {
    is_deeply [$got->{status}, @{$got->{json} // {}}{qw(code field)}], [$status, $code, $field], $name
        or diag $got->{content};
}

sub products ($account = $ANNA) {
    return get($plain, 'v1/accounts/active_products', account_id => $account)->{json}{item}{active_products};
}

sub claims ($token) { return $JSON->decode(decode_base64url((split /\./, $token)[1])) }

sub day ($days) { return strftime '%Y-%m-%d', localtime(time + 86400 * $days) }

my ($S, $A) = qw(klarna_payments_session_id klarna_authorization_token);

# -- sessions

subtest 'create_session' => sub {
    fresh();
    my $got  = create();
    my $item = $got->{json}{item};
    is $got->{status}, 200, 'made';
    is_deeply [sort keys %$item], [qw(klarna_client_token klarna_payments_session_id)], 'two fields';
    like $item->{$S}, $UUID, 'a UUID';
    my $claims = claims($item->{klarna_client_token});
    is_deeply [@$claims{qw(session_id base_url session_type purchase_country language scenario)}],
        [$item->{$S}, $sim->klarna, 'payments', 'SE', 'sv', 'approve'], 'claims of the client token';
    is_deeply $claims->{categories}, [qw(pay_now pay_later direct_debit)], 'and the categories';
    my ($kept) = $sim->klarna_sessions;
    is_deeply [@$kept{qw(id client account code period period_id period_type confirmation_url used)}],
        [$item->{$S}, 'site', $ANNA, 'digital', $MONTH, undef, 'recurring', $THANKS, 0], 'in the books';
    cmp_ok abs($kept->{expires} - $kept->{created} - 48 * 3600), '<', 1, 'for 48 hours';

    is create($anna, period_type => 'limited', period_id => $YEAR, start_date => day(0),
        disable_account_info_overwrite => $TRUE)->{status}, 200, 'every field';
    is create($anna, period_id => uc $MONTH)->{status}, 200, 'an id in capitals';
    is create($anna, code => 'half_price')->{status}, 200, 'a campaign';
    my $v2 = create($plain, period_type => undef, period_id => $YEAR);
    is $v2->{status}, 200, 'v2 with period_id alone';
    my $last = ($sim->klarna_sessions)[-1];
    is_deeply [@$last{qw(account period_type period_id)}], [undef, 'limited', $YEAR], 'nobody\'s, of the type of the period';
    is post($plain, 'v1/klarna_payments/create_session_without_account', {code => 'digital', period_type => 'limited',
        confirmation_url => $THANKS})->{status}, 200, 'create_session_without_account';
    error_is(post($plain, 'v1/klarna_payments/create_session', {}), 403, 'forbidden', undef, 'v1 needs identity');
    my $scope = token(scope => '/external/klarna_payments/r');
    error_is(post($scope, 'v2/klarna_payments/create_session', {}), 403, 'forbidden', undef, 'the scope is for writing');
    is get($anna, 'v1/klarna_payments/create_session')->{status}, 405, 'by POST';
    is_deeply [$sim->charges], [], 'and nothing is charged by it';
};

subtest 'create_session is refused as documented' => sub {
    fresh();
    my $bad     = 'invalid_parameter';
    my @refused = (
        [{x => 1},                               400, 'unknown_parameter', undef,  'unknown field'],
        (map { [{$_ => undef}, 400, $bad, $_, "without $_"] } qw(code confirmation_url period_type)),
        [{code => 5},                            400, $bad, 'code',             'code as number'],
        [{code => 'a b'},                        400, $bad, 'code',             'no code'],
        [{code => 'none'},                       404, 'not_found', 'code',      'unknown code'],
        [{code => 'old'},                        404, 'not_found', 'code',      'inactive package'],
        [{period_type => 'single'},              400, $bad, 'period_type',      'neither limited nor recurring'],
        [{code => 'half_price', period_type => 'limited'}, 400, $bad, 'period_type', 'a campaign is recurring'],
        [{code => 'empty'},                      400, $bad, 'period_type',      'no such period'],
        [{period_id => 'x'},                     400, $bad, 'period_id',        'no id'],
        [{period_id => 'f' x 24},                400, $bad, 'period_id',        'unknown period'],
        [{period_id => $OFF},                    400, $bad, 'period_id',        'disabled period'],
        [{period_id => $CARD},                   400, $bad, 'period_id',        'period of another payment method'],
        [{period_id => $TRIAL},                  400, $bad, 'period_id',        'period of another code'],
        [{period_id => $YEAR},                   400, $bad, 'period_id',        'type and period do not agree'],
        [{start_date => '2021-1-1'},             400, $bad, 'start_date',       'no date'],
        [{start_date => '2099-02-30'},           400, $bad, 'start_date',       'no day'],
        [{start_date => day(-2)},                400, $bad, 'start_date',       'past'],
        [{disable_account_info_overwrite => 1},  400, $bad, 'disable_account_info_overwrite', 'no boolean'],
        (map { [{confirmation_url => $_}, 400, $bad, 'confirmation_url', "URL $_"] }
            '/thanks', '//x/y', 'ftp://x/', 'http://', 'http:///x', 'javascript:alert(1)', 'http://x/a b', "http://x/\n"),
    );
    for my $case (@refused) {
        my ($change, @want) = @$case;
        error_is(create($anna, %$change), @want);
    }
    error_is(create($plain, period_type => undef), 400, $bad, 'period_type', 'v2 without period_type and period_id');
    my $foreign = token(client_id => 'foreign', client_secret => $OTHER_SECRET);
    error_is(post($foreign, 'v2/klarna_payments/create_session', {code => 'digital', period_type => 'recurring',
        confirmation_url => $THANKS}), 404, 'not_found', 'code', 'of another organisation');
    is_deeply [$sim->klarna_sessions], [], 'none of them is in the books';
};

subtest 'switches of create_session' => sub {
    fresh();
    $sim->shape(session_status => 201, envelope => 'flat', session_id => 'hex', session_categories => 'list',
        categories => 'klarna, direct_debit', klarna_scenario => 'deny', klarna_url => 'https://klarna.example');
    my $got = create();
    is $got->{status}, 201, 'session_status';
    like $got->{json}{$S}, qr/\A[a-f\d]{24}\z/, 'session_id hex, envelope flat';
    my $claims = claims($got->{json}{klarna_client_token});
    like $claims->{session_id}, $UUID, 'Klarna\'s own id stays a UUID';
    is_deeply [@$claims{qw(scenario base_url)}], ['deny', 'https://klarna.example'], 'klarna_scenario, klarna_url';
    my $badge = 'https://klarna.example/payment-method/assets/badges/generic/klarna.svg';
    is_deeply $got->{json}{payment_method_categories}[0], {identifier => 'klarna', name => 'Betala med Klarna',
        asset_urls => {descriptive => $badge, standard => $badge}}, 'session_categories, categories';
    is $got->{json}{payment_method_categories}[1]{name}, 'Autogiro', 'names are Swedish';
    $sim->shape(session_error => 'too_bad', session_error_status => 503);
    error_is(create(), 503, 'too_bad', undef, 'session_error, session_error_status');
    error_is(create($anna, code => 5), 400, 'invalid_parameter', 'code', 'which comes after the check of the fields');
    is $sim->klarna_sessions, 1, 'and makes nothing';

    fresh();
    $sim->shape(klarna_session_lifetime => 0);
    error_is(place(session()), 404, 'not_found', $S, 'klarna_session_lifetime');
    $sim->shape(klarna_session_lifetime => 3600);
    my $session = session();
    is $sim->expire(kind => 'klarna_session', account => $BERT), 0, 'expire: not hers';
    $sim->expire;
    ($anna, $plain) = (token_of($ANNA), token());
    is post($anna, 'v1/klarna_payments/place_order', order_body($session, x => 1))->{json}{code}, 'unknown_parameter',
        'expire without a kind leaves it';
    is $sim->expire(kind => 'klarna_session', account => $ANNA, client => 'site'), 2, 'expire: hers';
    error_is(place($session), 404, 'not_found', $S, 'and it is over');
};

# -- orders

subtest 'place_order' => sub {
    fresh();
    my $session = session();
    my $token   = $sim->authorize($session, category => 'pay_now');
    like $token, $UUID, 'an authorization token';
    is_deeply products(), [], 'nothing yet';
    my $got  = place($session, $A => $token, merchant_reference => 'ref-1', traffic_source => 'facebook');
    my $item = $got->{json}{item};
    is $got->{status}, 200, 'placed';
    is_deeply [sort keys %$item], [qw(klarna_order_id order_id receipt_id redirect_url)], 'the assumed fields';
    is $item->{order_id}, 'EXAMPLE-101', 'order id';
    is $item->{redirect_url}, $sim->klarna . "/redirect/$item->{klarna_order_id}", 'redirect';
    is_deeply products(), [qw(web app)], 'the account has the products';
    is_deeply get($anna, 'v1/me/active_products')->{json}{item}{active_products}, [qw(web app)], 'she sees them too';
    my @charges = $sim->charges;
    is @charges, 1, 'charged once';
    ok delete $charges[0]{time}, 'at a time';
    is_deeply $charges[0], {token => $token, session => $session, account => $ANNA, merchant_reference => 'ref-1',
        order_id => 'EXAMPLE-101', klarna_order_id => $item->{klarna_order_id}, amount => 210, trial => $FALSE},
        'the charge';
    my $order = get($plain, 'v1/order', account_id => $ANNA)->{json}{items}[0];
    is_deeply [@$order{qw(order_id payment_option purchase_type merchant_reference traffic_source state)}],
        ['EXAMPLE-101', 'klarna_payments', 'subscription', 'ref-1', 'facebook', 'closed'], 'the order';
    is $order->{order_detail}{product_code}, 'digital', 'its code';
    is $order->{payments}[0]{amount}, '21000', 'its amount';

    error_is(place($session, $A => $token), 404, 'not_found', $S, 'the session is over at once');
    error_is(place($session), 404, 'not_found', $S, 'with a new authorization too');
    my $second = session($anna, code => 'web_only');
    error_is(place($second, $A => $token), 404, 'not_found', $A, 'an authorization is for one session');
    is $sim->charges, 1, 'still charged once';
    is place($second)->{status}, 200, 'another package';
    is_deeply [map { $_->{amount} } $sim->charges], [210, 99.5], 'charged';

    my ($seen) = $sim->requests(path => '/external/api/v1/klarna_payments/place_order');
    is_deeply $seen->{json}, order_body($session, $A => $token, merchant_reference => 'ref-1', traffic_source => 'facebook'),
        'the journal has the body';
    my $year = session($bert, period_type => 'limited');
    is post($bert, 'v1/klarna_payments/place_order', order_body($year))->{status}, 200, 'without period_id';
    is(($sim->charges)[-1]{amount}, 2100, 'the first period of the type');

    is $sim->forget($ANNA), 2, 'an account is forgotten with its charges';
    my %left = %{$sim->books};
    is_deeply [map { scalar @$_ } @left{qw(charges orders klarna_sessions authorizations)}], [1, 1, 1, 1], 'what is left is the other one\'s';
    is scalar(grep { ($_->{account} // '') eq $ANNA } map {@$_} @left{qw(charges orders klarna_sessions)}), 0, 'and nothing of hers';
    error_is(get($plain, 'v1/order', account_id => $ANNA), 404, 'not_found', undef, 'the API does not know her');
    $sim->reset;
    is_deeply [@{$sim->books}{qw(klarna_sessions authorizations klarna_persons charges)}], [[], [], {}, []],
        'a reset forgets all of it';
};

subtest 'place_order is refused as documented' => sub {
    fresh();
    my $session = session();
    my $token   = $sim->authorize($session);
    my $bad     = 'invalid_parameter';
    my @refused = (
        [{x => 1},               400, 'unknown_parameter', undef, 'unknown field'],
        [{customer_info => \%NEW}, 400, 'unknown_parameter', undef, 'customer_info is for v2'],
        (map { [{$_ => undef}, 400, $bad, $_, "without $_"] } $S, $A, sort keys %BROWSER),
        [{$S => 5},              400, $bad, $S,                   'session as number'],
        [{browser_ip => '1.2.3'}, 400, $bad, 'browser_ip',        'no address'],
        [{browser_user_agent => ' '}, 400, $bad, 'browser_user_agent', 'no text'],
        (map { [{$_ => 'true'}, 400, $bad, $_, "$_ is a boolean"] }
            map {"raise_on_${_}_error"} qw(ssn_already_taken ssn_already_set account_update delivery_address)),
        [{merchant_reference => 'a b'},    400, $bad, 'merchant_reference', 'neither code nor URL'],
        [{merchant_reference => 'x' x 65}, 400, $bad, 'merchant_reference', 'a reference of 65'],
        [{traffic_source => 'x' x 129},    400, $bad, 'traffic_source', 'a source of 129'],
        (map { [{traffic_source => "a${_}b"}, 400, $bad, 'traffic_source', "$_ in a source"] } split //, '<>{}()/\\'),
        [{$S => 'none'},         404, 'not_found', $S,            'unknown session'],
        [{$A => 'none'},         404, 'not_found', $A,            'unknown authorization'],
    );
    for my $case (@refused) {
        my ($change, @want) = @$case;
        my %body = (%{order_body($session, $A => $token)}, %$change);
        error_is(post($anna, 'v1/klarna_payments/place_order', without(\%body, grep { !defined $body{$_} } keys %body)), @want);
    }
    error_is(post($bert, 'v1/klarna_payments/place_order', order_body($session, $A => $token)), 404, 'not_found', $S,
        'another account');
    error_is(post(token_of($ANNA, 'app'), 'v1/klarna_payments/place_order', order_body($session, $A => $token)),
        404, 'not_found', $S, 'another client');
    error_is(place_new($session, $A => $token), 404, 'not_found', $S, 'another customer');
    error_is(place(session($plain)), 404, 'not_found', $S, 'a session without account, with identity');
    error_is(post($plain, 'v1/klarna_payments/place_order', {}), 403, 'forbidden', undef, 'v1 needs identity');

    my $newer = $sim->authorize($session);
    error_is(place($session, $A => $token), 404, 'not_found', $A, 'superseded by a newer authorization');
    is $sim->expire(kind => 'authorization', account => $ANNA), 2, 'expired by the books';
    error_is(place($session, $A => $newer), 404, 'not_found', $A, 'an expired authorization');
    $sim->shape(authorization_lifetime => 0);
    error_is(place($session), 404, 'not_found', $A, 'authorization_lifetime');
    $sim->shape(authorization_lifetime => 3600);
    is_deeply [$sim->charges], [], 'nothing is charged';
    is_deeply products(), [], 'nothing is given';

    is place($session, merchant_reference => 'https://example.se/a?b=c', traffic_source => 'x' x 128,
        browser_ip => '2001:db8::1', raise_on_account_update_error => $TRUE)->{status}, 200, 'and the right one is placed';
    $sim->shape(merchant_reference_length => 0, browser_fields => 'optional', traffic_source => 'drop');
    my $loose = post($anna, 'v1/klarna_payments/place_order', without(order_body(session($anna, code => 'web_only'),
        merchant_reference => 'x' x 500, traffic_source => 'y'), keys %BROWSER));
    is $loose->{status}, 200, 'merchant_reference_length 0, browser_fields optional';
    is get($plain, 'v1/order', account_id => $ANNA)->{json}{items}[1]{traffic_source}, undef, 'traffic_source drop';
};

subtest 'purchase rules and the ordered refusal' => sub {
    fresh();
    $sim->account($ANNA, {packages => ['digital', 'half_price']});
    my $session = session();
    my $token   = $sim->authorize($session);
    error_is(place($session, $A => $token), 400, 'package_already_active', undef, 'an active package');
    error_is(place(session($anna, code => 'half_price')), 400, 'campaign_already_purchased', undef, 'a campaign');
    $sim->account($ANNA, {packages => []});
    $sim->shape(purchase_reason => 'too_young');
    error_is(place($session, $A => $token), 400, 'too_young', undef, 'purchase_reason');
    $sim->shape(purchase_reason => '', order_error => 'no_luck', order_error_status => 409);
    error_is(place($session, $A => $token), 409, 'no_luck', undef, 'order_error, order_error_status');
    error_is(place_trial($session, $A => $token), 409, 'no_luck', undef, 'for every kind of order');
    is_deeply [$sim->charges], [], 'nothing is charged';
    $sim->shape(order_error => '');
    is place($session, $A => $token)->{status}, 200, 'none of it spent the authorization';
};

subtest 'place_trial_order' => sub {
    fresh();
    my $debit = sub ($session) { (($A => $sim->authorize($session, category => 'direct_debit'))) };
    my $with  = session($anna, code => 'free_month', period_id => $TRIAL);
    my $bare  = session($anna, code => 'free_month');
    error_is(place_trial($bare, $debit->($bare)), 400, 'invalid_parameter', $S, 'a session without period_id');
    error_is(place_trial($with, $A => $sim->authorize($with, category => 'pay_now')), 400, 'invalid_parameter', $A,
        'not by direct debit');
    error_is(place($with, $debit->($with)), 400, 'invalid_parameter', $S, 'not by place_order');
    my $regular = session($anna, period_id => $MONTH);
    error_is(place_trial($regular, $debit->($regular)), 400, 'invalid_parameter', $S, 'nor a regular package as a trial');
    is_deeply [$sim->charges], [], 'nothing is charged';

    $sim->klarna_person($ANNA, {ssn => '194103219202', given_name => 'Alice'});
    is place_trial($with, $debit->($with))->{status}, 200, 'placed';
    is_deeply [@{($sim->charges)[0]}{qw(amount trial)}], [0, $TRUE], 'for nothing';
    is_deeply products(), ['web'], 'the account has the product';
    is get($anna, 'v1/me')->{json}{item}{first_name}, 'Anna', 'and Klarna tells nothing of her';
    is get($plain, 'v1/order', account_id => $ANNA)->{json}{items}[0]{payments}[0]{amount}, '0', 'the order says so too';

    my $new = session($plain, code => 'free_month', period_id => $TRIAL);
    is post($plain, 'v2/klarna_payments/place_trial_order', order_body($new, customer_info => \%NEW, $debit->($new)))->{status},
        200, 'v2, for a new customer';
};

subtest 'v2 finds or creates the account' => sub {
    fresh();
    my $bad = 'invalid_parameter';
    my $session = session($plain);
    for my $case ([undef, 'customer_info', 'none'], ['x', 'customer_info', 'text'], [{}, 'customer_info.email', 'empty'],
        [{%NEW, email => 'x'}, 'customer_info.email', 'no e-mail'], [{%NEW, last_name => 5}, 'customer_info.last_name', 'number'],
        [without(\%NEW, 'first_name'), 'customer_info.first_name', 'without a name'])
    {
        my ($info, $field, $name) = @$case;
        my %body = (%{order_body($session)}, defined $info ? (customer_info => $info) : ());
        error_is(post($plain, 'v2/klarna_payments/place_order', \%body), 400, $bad, $field, "customer_info: $name");
    }
    my $unknown = place_new($session, customer_info => {%NEW, phone => '1'});
    is_deeply $unknown->{json}, {code => 'unknown_parameter', message => 'Unknown parameters: customer_info.phone'}, 'unknown';
    is @{$sim->books->{accounts}}, 2, 'no account yet';

    is place_new($session)->{status}, 200, 'a new customer';
    my ($account) = grep { $_->{email} eq 'new@example.se' } @{$sim->books->{accounts}};
    is_deeply [@$account{qw(first_name last_name products packages)}], ['Nya', 'Nilsson', [qw(web app)], ['digital']], 'with an account';
    is(($sim->charges)[0]{account}, $account->{id}, 'that is charged');
    is place_new(session($plain, code => 'web_only'), customer_info => {%NEW, email => 'ANNA@example.se'})->{status}, 200,
        'a known customer';
    is_deeply products(), ['web'], 'found by the address';
    is @{$sim->books->{accounts}}, 3, 'not made again';
    $sim->shape(customer_info => 'email');
    is place_new(session($plain), customer_info => {email => 'third@example.se'})->{status}, 200, 'customer_info email';
    error_is(place_new(session($plain), customer_info => \%NEW), 400, 'package_already_active', undef, 'rules hold here too');
    $sim->shape(payment_failed_body => 'code');
    $sim->klarna_person('poor@example.se', {payment => 'failed'});
    is place_new(session($plain), customer_info => {email => 'poor@example.se'})->{status}, 403, 'a new customer who cannot pay';
    is @{$sim->books->{accounts}}, 4, 'gets no account';
};

subtest 'payment method failed' => sub {
    fresh();
    $sim->account($ANNA, {packages => [qw(digital web_only)], products => [qw(web app other)]});
    $sim->klarna_person($ANNA, {payment => 'failed'});
    my $session = session();
    my $token   = $sim->authorize($session);
    my $got     = place($session, $A => $token);
    is $got->{status}, 403, 'refused';
    is_deeply $got->{json}, {code => 'payment_method_failed', message => 'Payment method failed'}, 'the assumed body';
    is_deeply products(), [qw(web other)], 'the subscription is ended, what another holds stays';
    error_is(place($session, $A => $token), 403, 'invalid_operation', $A, 'the authorization is consumed');
    my %body = (message => qr/\A\{"message":"Payment method failed"\}\z/, empty => qr/\A\z/, html => qr/\A<html/);
    for my $kind (sort keys %body) {
        $sim->shape(payment_failed_body => $kind);
        my $no = place($session);
        is $no->{status}, 403, "payment_failed_body $kind: status";
        like $no->{content}, $body{$kind}, "payment_failed_body $kind: body";
    }
    is_deeply [$sim->charges], [], 'nothing is charged';
    $sim->klarna_person($ANNA, {payment => 'approved'});
    is place($session)->{status}, 200, 'the session is good for another try';
};

subtest 'account information from Klarna' => sub {
    my %person = (ssn => '194103219202', given_name => 'Alice', family_name => 'Test', birth_date => '1941-03-21',
        phone => '+46701740615', street_address => 'Storgatan 2', postal_code => '111 48', city => 'Stockholm');
    my $me   = sub { get($anna, 'v1/me')->{json}{item} };
    my $told = sub { my $item = $me->(); [@$item{qw(first_name last_name birth_date mobile_phone_number social_security_number)},
        $item->{address}{street}] };
    my $all = ['Alice', 'Test', '1941-03-21', '+46701740615', '194103219202', 'Storgatan 2'];

    fresh();
    is place(session())->{status}, 200, 'without a person';
    is_deeply $told->(), ['Anna', undef, undef, undef, undef, undef], 'nothing is written';
    fresh();
    $sim->klarna_person($ANNA, {%person, delivery_address => {city => 'Umeå'}});
    place(session());
    is_deeply $told->(), $all, 'Klarna\'s information counts';
    is_deeply get($plain, 'v1/order', account_id => $ANNA)->{json}{items}[0]{addresses}, [{city => 'Umeå'}],
        'the order has the delivery address';
    fresh();
    $sim->klarna_person('anna@example.se', \%person);
    place(session($anna, disable_account_info_overwrite => $TRUE));
    is_deeply $told->(), ['Anna', @$all[1 .. 5]], 'disable_account_info_overwrite keeps what is there';

    my $try = sub ($name, $default, $code, $kept, $before, %extra) {
        fresh();
        $before->();
        $sim->klarna_person($ANNA, {%person, %extra});
        my $session = session();
        my $flag    = "raise_on_$code";
        my $token   = $sim->authorize($session);
        error_is(place($session, $A => $token, $default ? () : ($flag => $TRUE)), 400, $code, undef, $name);
        is_deeply [$sim->charges], [], "$name: nothing is charged";
        is_deeply products(), [], "$name: nothing is given";
        error_is(place($session, $A => $token), 403, 'invalid_operation', $A, "$name: the authorization is consumed");
        is place($session, $default ? ($flag => $FALSE) : ())->{status}, 200, "$name: without the flag it goes on";
        is_deeply $told->(), $kept, "$name: and leaves that out";
    };
    my @known = @$all;
    $try->('ssn taken', 1, 'ssn_already_taken_error', [@known[0 .. 3], undef, $known[5]],
        sub { $sim->account($BERT, {social_security_number => $person{ssn}}) });
    $try->('ssn set', 0, 'ssn_already_set_error', [@known[0 .. 3], '1', $known[5]],
        sub { $sim->account($ANNA, {social_security_number => '1'}) });
    $try->('account update', 0, 'account_update_error', ['Anna', undef, undef, @known[3, 4], undef], sub { },
        bad_account_data => 1);
    $try->('delivery address', 0, 'delivery_address_error', \@known, sub { }, bad_delivery_address => 1,
        delivery_address => {city => 'Umeå'});
    is_deeply get($plain, 'v1/order', account_id => $ANNA)->{json}{items}[0]{addresses}, [], 'the order has no address then';

    fresh();
    $sim->account($ANNA, {social_security_number => '1'});
    $sim->account($BERT, {social_security_number => $person{ssn}});
    $sim->klarna_person($ANNA, \%person);
    is place(session($anna, disable_account_info_overwrite => $TRUE), raise_on_ssn_already_set_error => $TRUE)->{status},
        200, 'an ssn that is not to be written raises nothing';
    my %refused = (payment => 'no', bad_account_data => 'x', ssn => [], delivery_address => 'x', nobody => 1);
    for my $name (sort keys %refused) {
        ok !eval { $sim->call(POST => "/klarna-person/$ANNA", {$name => $refused{$name}}); 1 }, "refused: $name";
    }
    ok !eval { $sim->authorize('none'); 1 }, 'no authorization without a session';
};

subtest 'switches of place_order' => sub {
    fresh();
    my $redirect = sub ($item) { ($item->{redirect_url} // '') =~ m{\A\Q@{[$sim->klarna]}\E/redirect/} };
    my $next     = sub { $sim->account($ANNA, {packages => []}); place(session())->{json} };
    $sim->shape(order_fields => 'minimal');
    my $item = $next->()->{item};
    is_deeply [sort keys %$item], [qw(order_id redirect_url)], 'order_fields minimal';
    $sim->shape(order_fields => 'nested');
    $item = $next->()->{item};
    is_deeply [[keys %$item], [sort keys %{$item->{order}}]], [['order'], [qw(klarna_order_id order_id receipt_id redirect_url)]],
        'order_fields nested';
    ok $redirect->($item->{order}), 'with the redirect in it';
    $sim->shape(order_fields => 'full', envelope => 'flat');
    ok $redirect->($next->()), 'envelope flat';
    $sim->shape(envelope => 'item');
    for my $name (qw(redirect_uri klarna_redirect_url)) {
        $sim->shape(redirect_field => $name);
        is_deeply [grep {/redirect/} keys %{$next->()->{item}}], [$name], "redirect_field $name";
    }
    $sim->shape(redirect_field => 'absent');
    is_deeply [grep {/redirect/} keys %{$next->()->{item}}], [], 'redirect_field absent';
    $sim->shape(redirect_field => 'redirect_url', redirect_value => "javascript:alert(1)", order_status => 201, extra_fields => 1);
    $sim->account($ANNA, {packages => []});
    my $got = place(session());
    is_deeply [$got->{status}, $got->{json}{item}{redirect_url}], [201, 'javascript:alert(1)'], 'order_status, redirect_value';
    ok $got->{json}{item}{simulator_note}, 'extra_fields';
};

subtest 'authorization_check off: every request charges' => sub {
    fresh();
    my $session = session();
    my $body    = order_body($session);
    my $again   = sub { post($anna, 'v1/klarna_payments/place_order', $body)->{status} };
    is $again->(), 200, 'placed';
    is $again->(), 404, 'once';
    $sim->shape(authorization_check => 'off');
    is_deeply [$again->(), $again->()], [200, 200], 'used session, used token, active package';
    is place($session, $A => 'invented')->{status}, 200, 'a token that nobody gave';
    is $sim->charges, 4, 'charged each time';
    is get($plain, 'v1/order', account_id => $ANNA)->{json}{items}[3]{order_id}, 'EXAMPLE-104', 'with an order each';
    error_is(place('none', $A => 'x'), 404, 'not_found', $S, 'what is to be bought must be known all the same');
    is post($bert, 'v1/klarna_payments/place_order', $body)->{status}, 404, 'and by whom';
};

subtest 'when products and orders show' => sub {
    fresh();
    $sim->shape(products_delay => 1, orders_delay => 1);
    place(session());
    my $orders = sub (%more) { get($plain, 'v1/order', account_id => $ANNA, %more)->{json} };
    my $mine   = sub { [map { $_->{product_code} } @{get($anna, 'v1/me')->{json}{item}{user_products}}] };
    is_deeply [products(), $mine->(), $orders->()->{items}], [[], [], []], 'products_delay, orders_delay: not yet';
    is get($plain, 'v1/order', order_id => 'EXAMPLE-101')->{status}, 200, 'the order by its id is there';
    is get($anna, 'v1/me/order/pre_validate_purchase', product_code => 'digital')->{json}{item}{reason},
        'package_already_active', 'and the subscription is active';
    sleep 1.1;
    is_deeply [products(), $mine->(), scalar @{$orders->()->{items}}], [[qw(web app)], [qw(web app)], 1], 'a second later';

    fresh();
    $sim->shape(products_delay => 3600, orders_delay => 3600);
    place(session());
    is_deeply products(), [], 'held back';
    $sim->shape(products_delay => 0, orders_delay => 0);
    is_deeply [products(), scalar @{$orders->()->{items}}], [[qw(web app)], 1], 'until the switch is turned';

    fresh();
    place(session($anna, start_date => day(2)));
    is_deeply products(), [], 'start_date: nothing before it';
    is $orders->()->{items}[0]{subscription_start_date}, day(2), 'the order tells it';
    place(session($anna, start_date => day(0), code => 'web_only'));
    is_deeply products(), ['web'], 'start_date today: at once';

    error_is(get($plain, 'v1/order', account_id => $ANNA, page_size => 1), 400, 'unknown_parameter', undef, 'no pages');
    ok !exists $orders->()->{page_info}, 'nor page_info';
    $sim->shape(orders_page_size => 1);
    my $page = $orders->();
    is_deeply [map { $_->{order_id} } @{$page->{items}}], ['EXAMPLE-101'], 'orders_page_size: the first page';
    is_deeply $page->{page_info}, {page_size => 1, page_number => 1, more_results_available => $TRUE}, 'page_info';
    $page = $orders->(page_number => 2);
    is_deeply [$page->{items}[0]{order_id}, $page->{page_info}{more_results_available}], ['EXAMPLE-102', $FALSE], 'the last';
    is @{$orders->(page_size => 5)->{items}}, 2, 'page_size';
    $sim->shape(orders_first => 'newest');
    is $orders->()->{items}[0]{order_id}, 'EXAMPLE-102', 'orders_first newest';
};

# -- Klarna's hosts

subtest 'the role klarna' => sub {
    fresh();
    my $script = answer(GET => $sim->klarna . '/kp/lib/v1/api.js');
    is $script->{status}, 200, 'api.js';
    like $script->{headers}{'content-type'}, qr{\Aapplication/javascript}, 'is a script';
    unlike $script->{content}, qr/\beval\b|new Function|customer_token/, 'that evaluates nothing and makes no customer token';
    my $frame = answer(GET => $sim->klarna . '/frame?category=pay_later');
    like $frame->{content}, qr{data-category="pay_later">Betala senare<}, 'the frame shows the category';
    unlike answer(GET => $sim->klarna . '/frame?category=%3Cscript%3Ealert(1)')->{content}, qr/<script>alert/, 'escaped';
    like answer(GET => $sim->klarna . '/payment-method/assets/badges/generic/klarna.svg')->{content}, qr/\A<svg/, 'the badge';

    my $session = session();
    my $ask     = sub ($id, $category) {
        answer(POST => $sim->klarna . '/authorizations', headers => {'Content-Type' => 'application/x-www-form-urlencoded'},
            content => $http->www_form_urlencode({session_id => $id, category => $category}));
    };
    my $got = $ask->($session, 'direct_debit');
    is $got->{headers}{'access-control-allow-origin'}, '*', 'authorizations: any page may ask';
    is_deeply [keys %{$got->{json}}], ['authorization_token'], 'and gets a token only';
    is_deeply [@{$sim->books->{authorizations}[0]}{qw(token session category used superseded)}],
        [$got->{json}{authorization_token}, $session, 'direct_debit', 0, 0], 'that the books know';
    error_is($ask->($session, 'card'), 400, 'BAD_VALUE', undef, 'a category that the session lacks');
    error_is($ask->('none', 'pay_now'), 404, 'NOT_FOUND', undef, 'unknown session');
    my ($seen) = $sim->requests(role => 'klarna', path => '/authorizations', method => 'POST');
    is_deeply [@$seen{qw(client account)}, $seen->{form}{category}], ['site', $ANNA, 'direct_debit'], 'the journal has it';

    my $url  = place($session, $A => $got->{json}{authorization_token})->{json}{item}{redirect_url};
    error_is($ask->($session, 'pay_now'), 404, 'SESSION_COMPLETED', undef, 'a session that is over');
    my $back = answer(GET => $url);
    is_deeply [$back->{status}, $back->{headers}{location}], [302, $THANKS], 'the redirect leads to the confirmation at once';
    like $back->{headers}{'set-cookie'}, qr/\Aklarna_device=/, 'and leaves a cookie';
    is answer(GET => $sim->klarna . '/redirect/none')->{status}, 404, 'an unknown order leads nowhere';
    is answer(POST => $url)->{status}, 405, 'and only by GET';
    is answer(GET => $sim->klarna . '/')->{status}, 404, 'there is nothing else';
    $sim->fault(role => 'klarna', path => '/kp/', kind => 'status', status => 404, times => 1);
    is answer(GET => $sim->klarna . '/kp/lib/v1/api.js')->{status}, 404, 'faults meet this role too';
    $sim->fault(role => 'api', path => '/external/api/v1/klarna_payments/place_order', kind => 'status', before_acting => 0,
        times => 1);
    is place(session($anna, code => 'web_only'))->{status}, 503, 'an order that was placed and looks failed';
    is $sim->charges, 2, 'is charged';
};

subtest 'the documentation' => sub {
    my ($scenarios) = qx($^X $RealBin/sim/payway-sim --help) =~ /^  klarna_scenario +(\S+)/m;
    open my $in, '<:encoding(UTF-8)', "$RealBin/sim/README.md" or die "README.md: $!";
    my ($table) = do { local $/; <$in> } =~ /^\| scenario (.*?)\n\n/ms;
    my @known = split /\|/, $scenarios;
    cmp_ok scalar @known, '>', 5, 'scenarios';
    like $table, qr/^\|[^|]*`$_`/m, "README names the scenario $_" for @known;
};

# What the stand-in for api.js does, as a page meets it. Needs what the browser tests need, found by NODE_PATH.
subtest 'api.js in a browser' => sub {
    my $node     = $ENV{PWK_NODE}     // 'node';
    my $chromium = $ENV{PWK_CHROMIUM} // '/usr/bin/chromium';
    plan skip_all => 'no node, playwright-core or chromium'
        if !-x $chromium || system("'$node' -e 'require(\"playwright-core\")' >/dev/null 2>&1") != 0;
    fresh();
    my $token = sub { create($anna, @_)->{json}{item}{klarna_client_token} };
    my %with  = (klarna => $sim->klarna, token => $token->());
    $sim->shape(klarna_scenario => 'auto_approve');
    $with{auto} = $token->();
    local $ENV{WIDGET} = $JSON->encode(\%with);
    my $said    = qx('$node' '$RealBin/sim/widget.cjs');
    my $results = eval { $JSON->decode($said) } // [];
    cmp_ok scalar @$results, '>', 60, 'the browser ran';
    for my $result (@$results) {
        my ($passed, $name, $detail) = @$result;
        ok $passed, $name or diag $detail;
    }
    my @given = @{$sim->books->{authorizations}};
    is_deeply [map { [@$_{qw(category superseded)}] } @given], [['pay_now', 1], ['pay_now', 0], ['pay_now', 1], ['pay_now', 0]],
        'the books have the authorizations, and no other';
    is_deeply [$sim->charges], [], 'none of it charges';
};

done_testing;
