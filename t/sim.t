#!/usr/bin/perl

# The simulator is what every other test believes: here it has to prove that it refuses what the documentation refuses,
# that its switches and faults do what they say, and that its books tell the truth. Spoken to over HTTP only.

use v5.36;
use FindBin qw($RealBin);
use lib "$RealBin/lib";
use Digest::SHA qw(hmac_sha256 hmac_sha512);
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP ();
use MIME::Base64 qw(decode_base64url encode_base64url);
use PWK::Sim;
use Test::More;
use Time::HiRes qw(sleep time);

my ($TRUE, $FALSE) = (JSON::PP::true, JSON::PP::false);
my $JSON = JSON::PP->new->utf8->canonical;

sub random_text { open my $in, '<:raw', '/dev/urandom' or die; read $in, my $b, 16; return unpack 'H*', $b }

my ($SECRET, $OTHER_SECRET, $PASSWORD) = map { random_text() } 1 .. 3;
my $LANDING = 'http://127.0.0.1:9/payway/landing';
my $ANNA    = '0123456789abcdef01234567';
my $BERT    = '0123456789abcdef01234568';
my $CILLA   = '0123456789abcdef01234569';
my $PERIOD  = '5f0d9ea795cfebfb8544ab12';

my %seed = (
    organisations => [{id => 'example'}, {id => 'other'}],
    clients       => [
        {id => 'site', secret => $SECRET, organisation => 'example', redirect_uri => $LANDING, sso2 => $TRUE,
            scopes => [qw(/external/me/w /external/me/r /external/me/order/w /external/account/r /external/account/w
                /external/klarna_payments/r /external/product/r /external/title/r /external/order/r
                /external/order_validation/r)]},
        {id => 'poor', secret => $SECRET, organisation => 'example', redirect_uri => 'http://127.0.0.1:8/landing?x=1',
            sso2 => $TRUE, offline_access => $TRUE, scopes => ['/external/me/w']},
        {id => 'plain', secret => $SECRET, organisation => 'example', scopes => ['/external/me/w']},
        {id => 'foreign', secret => $OTHER_SECRET, organisation => 'other', redirect_uri => 'http://127.0.0.1:7/l',
            sso2 => $TRUE, scopes => [qw(/external/account/r /external/klarna_payments/r /external/order/r)]},
    ],
    accounts => [
        {id => $ANNA, organisation => 'example', email => 'anna@example.se', password => $PASSWORD,
            first_name => "\x{c5}sa", last_name => 'Andersson', products => ['example_web']},
        {id => $BERT, organisation => 'example', email => 'bert@example.se', password => $PASSWORD},
        {id => $CILLA, organisation => 'example', email => 'cilla@example.se', password => $PASSWORD,
            status => 'not_active'},
        {organisation => 'other', email => 'anna@example.se', password => "other$PASSWORD"},
    ],
    packages => [
        {code => 'example_digital', organisation => 'example', name => 'Digital', description => 'All of it',
            title_code => 'EX', products => ['example_web', 'example_app'], tags => ['new'],
            periods => [
                {id => $PERIOD, type => 'recurring', enabled => $TRUE, price => 210},
                {type => 'limited', enabled => $FALSE, iteration_type => 'year', price => 2100},
                {payment_method => 'adyen', price => 220},
            ]},
        {code => 'example_old', organisation => 'example', title_code => 'EX', active => $FALSE, periods => []},
    ],
    campaigns => [
        {code => 'example_trial', organisation => 'example', title_code => 'EX', products => ['example_web'],
            periods => [{price => 0}]},
    ],
);

my $sim  = PWK::Sim->start(seed => \%seed);
my $http = HTTP::Tiny->new(max_redirect => 0, timeout => 10, keep_alive => 0);

# -- helpers

sub answer ($method, $url, %with) {
    my $got = $http->request($method, $url, \%with);
    $got->{json} = eval { $JSON->decode($got->{content}) };
    return $got;
}

sub query (%query) { return %query ? '?' . $http->www_form_urlencode(\%query) : '' }

sub token_call (%form) {
    my %with = (grant_type => 'none', client_id => 'site', client_secret => $SECRET, %form);
    delete $with{$_} for grep { !defined $with{$_} } keys %with;
    return answer(POST => $sim->api . '/api/authorization/access_token',
        content => $http->www_form_urlencode(\%with),
        headers => {'Content-Type' => 'application/x-www-form-urlencoded'});
}

sub token (%form) { return token_call(%form)->{json}{access_token} // die 'no token' }

sub identity_token ($scope = '/external/me/w', $account = $ANNA, $client = 'site') {
    return token(grant_type => 'ticket', scope => $scope, client_id => $client, ticket => $sim->ticket($account, $client));
}

sub api ($token, $path, %query) {
    return answer(GET => $sim->api . "/external/api/$path" . query(%query), headers => {Authorization => "Bearer $token"});
}

sub jwt ($claims, $secret = $SECRET, $header = {typ => 'JWT', alg => 'HS256'}, $mac = \&hmac_sha256) {
    my $text = join '.', map { encode_base64url($JSON->encode($_)) } $header, $claims;
    return $text . '.' . encode_base64url($mac->($text, $secret));
}

# The claims of an SSO2 answer, its signature checked here.
sub claims ($token, $secret = $SECRET) {
    my ($header, $body, $signature) = split /\./, $token // '';
    return {bad_signature => 1} unless defined $signature
        && $signature eq encode_base64url(hmac_sha256("$header.$body", $secret));
    return $JSON->decode(decode_base64url($body));
}

sub common (%more) {
    my $now = int time;
    my %all = (cid => 'site', iss => 'example', aud => 'pw-sso', iat => $now, nbf => $now, exp => $now + 10, %more);
    delete $all{$_} for grep { !defined $all{$_} } keys %all;
    return \%all;
}

sub sso_call ($operation, $token) {
    return answer(POST => $sim->sso . "/$operation", content => $JSON->encode({t => $token}),
        headers => {'Content-Type' => 'application/json'});
}

my %visitor = (ipa => '192.0.2.1', uas => 'test');

sub sso ($operation, %more) {
    my $secret = delete $more{secret} // $SECRET;
    my $got    = sso_call($operation, jwt(common(%visitor, %more), $secret));
    return $got->{json} && $got->{json}{t} ? claims($got->{json}{t}, $secret) : {refused => $got->{status}};
}

# A browser: follows nothing, keeps its cookie.
my $BROWSER = 0;
sub browser { return {cookie => undef, name => ++$BROWSER} }

sub browse ($browser, $method, $url, %form) {
    my %with;
    $with{headers}{Cookie} = $browser->{cookie} if defined $browser->{cookie};
    if ($method eq 'POST') {
        $with{content} = $http->www_form_urlencode(\%form);
        $with{headers}{'Content-Type'} = 'application/x-www-form-urlencoded';
    }
    my $got = answer($method, $url, %with);
    ($browser->{cookie}) = $got->{headers}{'set-cookie'} =~ /\A([^;]+)/ if $got->{headers}{'set-cookie'};
    return $got;
}

sub parameters ($url) {
    my ($query) = ($url // '') =~ /\?(.*)/s;
    my %got = map { my ($n, $v) = split /=/, $_, 2; ($n => $v) } split /&/, $query // '';
    s/\+/ /g, s/%([0-9a-f]{2})/chr hex $1/gie for values %got;
    return \%got;
}

sub identify ($browser, %more) {
    my $secret = delete $more{secret} // $SECRET;
    my $r      = delete $more{r} // 'http://127.0.0.1:9/article';
    my $now    = int time;
    my $token  = jwt(common(exp => $now + 60, %more), $secret);
    my $got    = browse($browser, GET => $sim->sso . '/identify' . query(t => $token, r => $r));
    my $back   = parameters($got->{headers}{location});
    return {got => $got, location => $got->{headers}{location}, r => $back->{r},
        claims => defined $back->{t} ? claims($back->{t}, $secret) : undef};
}

sub log_in ($browser, $email = 'anna@example.se', $password = $PASSWORD) {
    return browse($browser, POST => $sim->portal . '/login/index', Username => $email, Password => $password,
        continue => 'http://127.0.0.1:9/article?a=1&b=2');
}

sub error_is ($got, $status, $code, $field, $name) {
    is_deeply [$got->{status}, @{$got->{json} // {}}{qw(code field)}], [$status, $code, $field], $name
        or diag $got->{content};
}

# -- the API

subtest 'tokens are given for what the client may have' => sub {
    my $got = token_call(scope => '/external/product/r /external/account/r');
    is $got->{status}, 200, 'grant none';
    is $got->{json}{expires_in}, 3600, 'lives an hour';
    is $got->{json}{token_type}, 'bearer', 'token_type';
    ok !exists $got->{json}{refresh_token}, 'no refresh token without offline access';

    my @refused = (
        [{client_secret => 'no', scope => '/external/me/w'},               401, 'invalid_client',         'wrong secret'],
        [{client_id => 'nobody', scope => '/external/me/w'},               401, 'invalid_client',         'unknown client'],
        [{grant_type => 'magic', scope => '/external/me/w'},               400, 'unsupported_grant_type', 'unknown grant'],
        [{grant_type => undef, scope => '/external/me/w'},                 400, 'unsupported_grant_type', 'no grant'],
        [{scope => undef},                                                 400, 'invalid_request',        'no scope'],
        [{scope => '/external/me/w /external/paywall/w'},                  400, 'invalid_scope',          'scope it lacks'],
        [{scope => '/external/me/w', ticket => 'x'},                       400, 'invalid_request',        'unknown field'],
        [{grant_type => 'ticket', scope => '/external/me/w', ticket => 'x'}, 400, 'invalid_grant',        'unknown ticket'],
        [{grant_type => 'refresh_token', refresh_token => 'x', scope => '/external/me/w'},
            400, 'invalid_request', 'refresh takes no scope'],
    );
    for my $case (@refused) {
        my ($form, $status, $error, $name) = @$case;
        my $no = token_call(%$form);
        is_deeply [$no->{status}, $no->{json}{error}], [$status, $error], $name;
    }
    my $json = answer(POST => $sim->api . '/api/authorization/access_token', content => '{}',
        headers => {'Content-Type' => 'application/json'});
    is $json->{status}, 400, 'the token endpoint takes a form only';
    is answer(GET => $sim->api . '/api/authorization/access_token')->{status}, 405, 'and by POST only';

    my $ticket = $sim->ticket($ANNA, 'site');
    my %grant  = (grant_type => 'ticket', scope => '/external/me/w', ticket => $ticket);
    is token_call(%grant, client_id => 'poor')->{json}{error}, 'invalid_grant', 'a ticket is for one client';
    is token_call(%grant)->{status}, 200, 'which can redeem it';
    is token_call(%grant)->{json}{error}, 'invalid_grant', 'once';
    my $late = $sim->ticket($ANNA, 'site');
    $sim->expire(kind => 'ticket');
    is token_call(%grant, ticket => $late)->{json}{error}, 'invalid_grant', 'and in time';

    my %password = (grant_type => 'password', scope => '/external/me/w', username => 'example^anna@example.se');
    is token_call(%password, password => $PASSWORD)->{status}, 200, 'grant password';
    my $no = token_call(%password, password => 'no');
    is $no->{json}{error_description}, 'Username/password do not match', 'the one documented error text';

    my %poor    = (client_id => 'poor', scope => '/external/me/w');
    my $refresh = token_call(%poor)->{json}{refresh_token};
    ok $refresh, 'a refresh token with offline access';
    my %again = (grant_type => 'refresh_token', refresh_token => $refresh, scope => undef);
    is token_call(%again, client_id => 'poor')->{status}, 200, 'which works';
    is token_call(%again)->{json}{error}, 'invalid_grant', 'for its client only';
    $sim->shape(refresh_rotation => 1);
    my $next = token_call(%again, client_id => 'poor')->{json}{refresh_token};
    isnt $next, $refresh, 'refresh_rotation: a new one';
    is token_call(%again, client_id => 'poor')->{status}, 400, 'refresh_rotation: the old one is gone';
    $sim->reset;
};

subtest 'switches of the token answer' => sub {
    my %form = (scope => '/external/product/r /external/paywall/w');
    $sim->shape(scope_error => 'reduced', token_type => '', expires_in => 'string', token_lifetime => 2);
    my $got = token_call(%form);
    is $got->{status}, 200, 'scope_error reduced: a token all the same';
    ok !exists $got->{json}{token_type}, 'token_type can be absent';
    like $got->{content}, qr/"expires_in":"2"/, 'expires_in can be a string';
    my $token = $got->{json}{access_token};
    is api($token, 'v2/products', product_code => 'example_digital')->{status}, 200, 'with the scope that it has';
    sleep 2.1;
    is api($token, 'v2/products', product_code => 'example_digital')->{status}, 401, 'token_lifetime ends it';
    $sim->shape(expires_in => 'absent');
    ok !exists token_call(%form)->{json}{expires_in}, 'expires_in can be absent';
    $sim->reset;
};

subtest 'token, scope and identity are checked in this order' => sub {
    my $me = $sim->api . '/external/api/v1/me';
    error_is(answer(GET => $me), 401, 'unauthorized', undef, 'no token');
    error_is(api('nonsense', 'v1/me'), 401, 'unauthorized', undef, 'unknown token');
    my $plain = token(scope => '/external/product/r');
    my $wrong = token(scope => '/external/account/r');
    error_is(api($wrong, 'v2/products', product_code => 'example_digital'), 403, 'forbidden', undef, 'missing scope');
    is api($plain, 'v2/products', product_code => 'example_digital')->{status}, 200, 'given scope';
    my $other_scope = identity_token('/external/me/r');
    error_is(api($other_scope, 'v1/me'), 403, 'forbidden', undef, 'missing scope with identity');
    error_is(api(token(scope => '/external/me/w'), 'v1/me'), 403, 'forbidden', undef, 'identity needed');
    my $anna = identity_token();
    is api($anna, 'v1/me')->{status}, 200, 'identity given';
    $sim->expire(kind => 'access', account => $ANNA);
    error_is(api($anna, 'v1/me'), 401, 'unauthorized', undef, 'expired token');
    error_is(api(token(scope => '/external/product/r'), 'v2/products', product_code => '?'), 400, 'invalid_parameter',
        'product_code', 'others are not expired by the filter');
    error_is(answer(GET => $sim->api . '/external/api/v9/me'), 404, 'not_found', undef, 'unknown path');
    error_is(answer(DELETE => $me), 405, 'method_not_allowed', undef, 'wrong method');

    my %body = (message => qr/\A\{"message"/, empty => qr/\A\z/, html => qr/\A<html/);
    for my $kind (sort keys %body) {
        $sim->shape(error_bodies => $kind);
        my $got = api('nonsense', 'v1/me');
        is $got->{status}, 401, "error_bodies $kind: status";
        like $got->{content}, $body{$kind}, "error_bodies $kind: body";
    }
    $sim->reset;
};

subtest 'parameters are refused as documented' => sub {
    my $token = token(scope => '/external/account/r /external/product/r /external/klarna_payments/r /external/order/r');
    my $try   = sub ($path, %query) { api($token, $path, %query) };
    my $got   = $try->('v1/accounts/active_products', account_id => $ANNA, b => 1, a => 1);
    is_deeply $got->{json}, {code => 'unknown_parameter', message => 'Unknown parameters: a,b'}, 'unknown_parameter';
    $got = $try->('v1/accounts/active_products', account_id => 'zz');
    is_deeply $got->{json}, {code => 'invalid_parameter', field => 'account_id',
        message => 'Parameter must match format (/^[a-f\d]{24}$/)'}, 'the documented text for an id';
    my @refused = (
        ['v1/accounts/active_products', {}, 'account_id', 'required'],
        ['v1/accounts/active_products', {account_id => $ANNA, include_articles => 'yes'}, 'include_articles', 'flag'],
        ['v2/klarna_payments/payment_periods', {code => 'a b'}, 'code', 'code'],
        ['v2/klarna_payments/payment_periods', {code => 'x' x 1025}, 'code', 'code of 1025'],
        ['v1/products/payment_periods', {}, 'product_code', 'one of two'],
        ['v1/products/payment_periods', {product_code => 'a', product_id => $PERIOD}, 'product_id', 'both of two'],
        ['v2/products/package/search', {title_code => 'x' x 16}, 'title_code', 'title code of 16'],
        ['v2/products/package/search', {title_code => 'EX', page_size => 26}, 'page_size', 'page size of 26'],
        ['v2/products/package/search', {title_code => 'EX', page_number => 0}, 'page_number', 'page 0'],
        ['v1/order', {order_id => 'x'}, 'order_id', 'order id'],
        ['v1/accounts/get_authentication_attempts', {email => 'x'}, 'email', 'e-mail'],
    );
    error_is($try->($_->[0], %{$_->[1]}), 400, 'invalid_parameter', $_->[2], $_->[3]) for @refused;
    is $try->('v2/klarna_payments/payment_periods', code => 'x' x 1024)->{status}, 404, 'a code of 1024 is one';
    error_is(api($token, "v1/order?account_id=$ANNA&account_id=$ANNA"), 400, 'invalid_parameter', 'account_id', 'twice');
    error_is($try->('v1/accounts/active_products', account_id => 'f' x 24), 404, 'not_found', undef, 'no such account');
};

subtest 'bodies are refused as documented' => sub {
    my $token = token(scope => '/external/account/w');
    my $url   = $sim->api . '/external/api/v1/accounts/create_authentication_attempt';
    my $post  = sub ($body, $type = 'application/json') {
        answer(POST => $url, content => ref $body ? $JSON->encode($body) : $body,
            headers => {'Content-Type' => $type, Authorization => "Bearer $token"});
    };
    my %good = (email => 'anna@example.se', login_successful => $FALSE, user_agent => 'x', persist => $FALSE);
    error_is($post->('{'),           400, 'json_parser_error', undef, 'broken JSON');
    error_is($post->('[]'),          400, 'json_parser_error', undef, 'no object');
    error_is($post->(\%good, 'text/plain'), 400, 'invalid_content_type_error', undef, 'content type');
    error_is($post->({%good, x => 1}), 400, 'unknown_parameter', undef, 'unknown field');
    error_is($post->({%good, login_successful => 'false'}), 400, 'invalid_parameter', 'login_successful', 'no boolean');
    error_is($post->({%good, email => 5}), 400, 'invalid_parameter', 'email', 'no string');
    error_is($post->({%good, ip_address => '1.2.3'}), 400, 'invalid_parameter', 'ip_address', 'no address');
    error_is($post->({%good, account_id => $ANNA}), 400, 'invalid_parameter', 'email', 'one of two only');
    my $got = $post->(\%good, 'application/json; charset=utf-8');
    is $got->{json}{item}{remaining_authentication_attempts}, 4, 'and the right one counts';
    $sim->reset;
};

subtest 'me and products' => sub {
    my $anna = identity_token();
    my $me   = api($anna, 'v1/me')->{json}{item};
    is $me->{id}, $ANNA, 'me: id';
    is $me->{first_name}, "\x{c5}sa", 'me: name in UTF-8';
    is_deeply api($anna, 'v1/me/active_products')->{json}{item},
        {id => $ANNA, active_products => ['example_web'], external_plus_products => []}, 'me/active_products';
    is_deeply api($anna, 'v1/me/active_products', include_articles => 'true')->{json}{item}{active_articles}, [],
        'articles when asked for';
    $sim->account($ANNA, {products => ['x']});
    my $plain = token(scope => '/external/account/r');
    is_deeply api($plain, 'v1/accounts/active_products', account_id => $ANNA)->{json}{item}{active_products}, ['x'],
        'accounts/active_products tells a change';
    my $foreign = token(client_id => 'foreign', client_secret => $OTHER_SECRET, scope => '/external/account/r');
    is api($foreign, 'v1/accounts/active_products', account_id => $ANNA)->{status}, 404, 'not to another organisation';

    $sim->shape(envelope => 'flat');
    is api($anna, 'v1/me')->{json}{id}, $ANNA, 'envelope flat';
    $sim->shape(envelope => 'item', me_fields => 'minimal', extra_fields => $TRUE);
    is_deeply [sort keys %{api($anna, 'v1/me')->{json}{item}}], [qw(email id simulator_note)],
        'me_fields minimal, extra_fields';
    $sim->shape(me_fields => 'null');
    ok exists api($anna, 'v1/me')->{json}{item}{first_name}, 'me_fields null: there';
    is api($anna, 'v1/me')->{json}{item}{first_name}, undef, 'me_fields null: but null';
    $sim->account($ANNA, {products => []});
    is_deeply api($anna, 'v1/me/active_products')->{json}{item}{active_products}, [], 'active_products list';
    $sim->shape(active_products => 'null');
    is api($anna, 'v1/me/active_products')->{json}{item}{active_products}, undef, 'active_products null';
    $sim->shape(active_products => 'absent');
    ok !exists api($anna, 'v1/me/active_products')->{json}{item}{active_products}, 'active_products absent';
    $sim->reset;
};

subtest 'periods, packages and titles' => sub {
    my $token = token(scope => '/external/klarna_payments/r /external/product/r /external/title/r');
    for my $version (qw(v1 v2)) {
        my $got = api($token, "$version/klarna_payments/payment_periods", code => 'example_digital');
        is_deeply $got->{json}{items}[0], {id => $PERIOD, payment_method => 'klarna_payments', type => 'recurring',
            enabled => $TRUE, iteration_type => 'month', iteration_length => 1, price => 210}, "payment_periods $version";
        is @{$got->{json}{items}}, 2, 'without other payment methods, with the disabled';
        like $got->{content}, qr/"price":210[,}]/, 'price is an integer';
    }
    for my $case (['decimal', qr/"price":210\.00[,}]/], ['string', qr/"price":"210"/]) {
        $sim->shape(price => $case->[0]);
        like api($token, 'v2/klarna_payments/payment_periods', code => 'example_digital')->{content}, $case->[1],
            "price $case->[0]";
    }
    error_is(api($token, 'v2/klarna_payments/payment_periods', code => 'no'), 404, 'not_found', undef, 'unknown code');
    $sim->shape(unknown_code => 'empty');
    is_deeply api($token, 'v2/klarna_payments/payment_periods', code => 'no')->{json}, {items => []}, 'unknown_code empty';
    is @{api($token, 'v1/products/payment_periods', product_code => 'example_digital')->{json}{items}}, 3,
        'products/payment_periods has all methods';
    my $product = api($token, 'v2/products', product_code => 'example_digital')->{json}{item};
    is_deeply [@$product{qw(name description title_code)}], ['Digital', 'All of it', 'EX'], 'products';
    is api($token, 'v2/products', id => $product->{id})->{json}{item}{product_code}, 'example_digital', 'products by id';

    my $search = api($token, 'v2/products/package/search', title_code => 'EX')->{json};
    is_deeply [map { $_->{product_code} } @{$search->{items}}], ['example_digital'], 'search: active packages';
    is_deeply $search->{page_info}, {page_size => 25, page_number => 1, more_results_available => $FALSE}, 'page_info';
    my $paged = api($token, 'v2/products/package/search', title_code => 'EX', include_inactive => 'true', page_size => 1);
    is_deeply $paged->{json}{page_info}, {page_size => 1, page_number => 1, more_results_available => $TRUE}, 'paged';
    is_deeply [map { $_->{product_code} } @{api($token, 'v2/products/campaign/search', title_code => 'EX')->{json}{items}}],
        ['example_trial'], 'search: campaigns';
    is api($token, 'v1/titles/')->{json}{items}[0]{code}, 'EX', 'titles, with a final slash';
    is api($token, 'v1/titles/find_one', title_code => 'EX')->{json}{item}{code}, 'EX', 'titles/find_one';
    my $foreign = token(client_id => 'foreign', client_secret => $OTHER_SECRET, scope => '/external/klarna_payments/r');
    $sim->shape(unknown_code => '404');
    is api($foreign, 'v2/klarna_payments/payment_periods', code => 'example_digital')->{status}, 404,
        'not to another organisation';
    $sim->reset;
};

subtest 'purchase validation' => sub {
    my $bert  = identity_token('/external/me/order/w /external/me/r', $BERT);
    my $plain = token(scope => '/external/account/r /external/order_validation/r');
    my $may   = sub { api($bert, 'v1/me/order/pre_validate_purchase', product_code => 'example_digital')->{json}{item} };
    is_deeply $may->(), {can_purchase => $TRUE, reason => 'purchase_allowed'}, 'may buy';
    $sim->account($BERT, {packages => ['example_digital', 'example_trial']});
    is_deeply $may->(), {can_purchase => $FALSE, reason => 'package_already_active'}, 'has it';
    my %bert = (product_code => 'example_trial', contact_email => 'bert@example.se');
    is api($plain, 'v4/accounts/pre_validate_purchase', %bert)->{json}{item}{reason}, 'campaign_already_purchased',
        'a campaign once';
    my $with_body = answer(GET => $sim->api . '/external/api/v4/accounts/pre_validate_purchase',
        content => $JSON->encode(\%bert),
        headers => {Authorization => "Bearer $plain", 'Content-Type' => 'application/json'});
    is $with_body->{json}{item}{can_purchase}, $FALSE, 'the same with a JSON body';
    is api($plain, 'v4/accounts/pre_validate_purchase', %bert, contact_email => 'x@y.se')->{json}{item}{can_purchase},
        $TRUE, 'an unknown address may';
    is api($bert, 'v1/me/eligible_for_campaign', campaign_code => 'example_trial')->{json}{item}{eligible}, $FALSE,
        'not eligible again';
    my %valid = (product_code => 'example_digital', date_of_birth => '1980-01-01');
    is api($plain, 'v2/order_validation', %valid)->{json}{item}{purchase_allowed}, $TRUE, 'order_validation';
    error_is(api($plain, 'v2/order_validation', %valid, ssn => '1'), 400, 'invalid_parameter', 'ssn', 'exactly one');
    $sim->shape(purchase_reason => 'too_young');
    is api($plain, 'v2/order_validation', %valid)->{json}{item}{reason}, 'too_young', 'purchase_reason';
    $sim->reset;
};

# -- SSO2

subtest 'identify comes back to the registered landing' => sub {
    my $browser = browser();
    my $r       = 'http://127.0.0.1:9/article?a=1&b=x%20y#z';
    my $first   = identify($browser, r => $r);
    is $first->{got}{status}, 302, 'redirect';
    like $first->{location}, qr{\A\Q$LANDING\E\?t=[\w.-]+&r=}, 'to the landing';
    is $first->{r}, $r, 'with r as it was given';
    is $first->{claims}{sts}, 'anon', 'anon';
    ok !exists $first->{claims}{at}, 'without a ticket';
    is_deeply [@{$first->{claims}}{qw(cid iss aud)}], [qw(site pw-sso site)], 'full claims';
    is identify($browser)->{claims}{sid}, $first->{claims}{sid}, 'the browser keeps its session';
    isnt identify(browser())->{claims}{sid}, $first->{claims}{sid}, 'another browser has another';
    like identify($browser, cid => 'poor')->{location}, qr{\Ahttp://127\.0\.0\.1:8/landing\?x=1&t=}, 'redirect URI with query';
    is identify($browser, cid => 'poor')->{claims}{sid}, $first->{claims}{sid}, 'one session for all sites';
    my $foreign = identify($browser, cid => 'foreign', iss => 'other', secret => $OTHER_SECRET);
    isnt $foreign->{claims}{sid}, $first->{claims}{sid}, 'but for one organisation only';
    is sso('sessionstatus', sid => $foreign->{claims}{sid}, lks => 'anon')->{err}, 'session_not_found', 'and unknown to others';

    is browse($browser, GET => $sim->sso . '/identify' . query(r => $r))->{status}, 400, 'no t';
    my $now = int time;
    is browse($browser, GET => $sim->sso . '/identify' . query(t => jwt(common(exp => $now + 60))))->{status}, 400, 'no r';
    is identify($browser, cid => 'plain')->{got}{status}, 400, 'a client that is no SSO2 client';
    is identify($browser, secret => 'wrong')->{got}{status}, 400, 'a wrong signature leads nowhere';
    is $sim->books->{sessions}[0]{status}, 'anon', 'the books know the session';
};

subtest 'a request is refused unless it is as documented' => sub {
    my $sid = identify(browser())->{claims}{sid};
    my %ok  = (sid => $sid, lks => 'anon');
    my $now = int time;
    is sso('sessionstatus', %ok)->{sts}, 'anon', 'this one is right';
    my @refused = (
        [{x => 1}, 400, 'unknown_parameter', undef, 'unknown claim'],
        (map { [{$_ => undef}, 400, 'invalid_parameter', $_, "without $_"] } qw(sid ipa uas lks iss aud iat nbf exp)),
        [{cid => undef},      401, 'unauthorized',      'cid', 'without cid'],
        [{cid => 'nobody'},   401, 'unauthorized',      'cid', 'unknown client'],
        [{cid => 'plain'},    401, 'unauthorized',      'cid', 'no SSO2 client'],
        [{iss => 'other'},    401, 'unauthorized',      'iss', 'foreign iss'],
        [{iss => 'site'},     401, 'unauthorized',      'iss', 'iss is not the client'],
        [{aud => 'site'},     401, 'unauthorized',      'aud', 'wrong aud'],
        [{exp => $now - 1},   401, 'unauthorized',      'exp', 'expired'],
        [{nbf => $now + 100}, 401, 'unauthorized',      'nbf', 'not yet valid'],
        [{iat => $now + 100, exp => $now + 110}, 401, 'unauthorized', 'iat', 'from the future'],
        [{exp => $now + 100}, 400, 'invalid_parameter', 'exp', 'longer than documented'],
        [{exp => "$now"},     400, 'invalid_parameter', 'exp', 'exp as text'],
        [{iat => $now + 0.5}, 400, 'invalid_parameter', 'iat', 'fractions of a second'],
        [{sid => 5},          400, 'invalid_parameter', 'sid', 'sid as number'],
        [{ipa => 'x'},        400, 'invalid_parameter', 'ipa', 'no address'],
        [{lks => 'other'},    400, 'invalid_parameter', 'lks', 'unknown lks'],
    );
    for my $case (@refused) {
        my ($change, $status, $code, $field, $name) = @$case;
        # Times of its own: a second may pass between two cases.
        my $second = int time;
        my %times  = (iat => $second, nbf => $second, exp => $second + 10);
        error_is(sso_call('sessionstatus', jwt(common(%visitor, %ok, %times, %$change))), $status, $code, $field, $name);
    }
    my $claims = common(%visitor, %ok);
    error_is(sso_call('sessionstatus', jwt($claims, 'wrong')), 401, 'unauthorized', 't', 'wrong key');
    error_is(sso_call('sessionstatus', jwt($claims, $SECRET, {typ => 'JWT', alg => 'HS512'}, \&hmac_sha512)),
        401, 'unauthorized', 'alg', 'HS512');
    error_is(sso_call('sessionstatus', jwt($claims, $SECRET, {typ => 'JWT', alg => 'none'}, sub { '' })),
        401, 'unauthorized', 'alg', 'alg none');
    error_is(sso_call('sessionstatus', 'x.y'), 400, 'invalid_parameter', 't', 'no JWT');
    error_is(sso_call('logout', jwt($claims)), 400, 'unknown_parameter', undef, 'lks is not for logout');
    is answer(GET => $sim->sso . '/sessionstatus')->{status}, 405, 'by POST';
    my $typed = sub ($type, $body) {
        answer(POST => $sim->sso . '/sessionstatus', content => $body, headers => {'Content-Type' => $type});
    };
    error_is($typed->('text/plain', '{}'), 400, 'invalid_content_type_error', undef, 'content type');
    error_is($typed->('application/json', '{"t":"x","u":1}'), 400, 'unknown_parameter', undef, 'beside t');
    is sso('sessionstatus', %ok, uas => '')->{sts}, 'anon', 'a visitor without User-Agent';
    is sso('sessionstatus', %ok, ipa => '2001:db8::1')->{sts}, 'anon', 'IPv6';
    $sim->shape(request_lifetime => 'any');
    is sso('sessionstatus', %ok, exp => $now + 600)->{sts}, 'anon', 'request_lifetime any';
    $sim->reset;
};

subtest 'a login at the portal is a login everywhere' => sub {
    my $browser = browser();
    my $sid     = identify($browser)->{claims}{sid};
    my $got     = log_in($browser);
    is $got->{status}, 302, 'logged in';
    is $got->{headers}{location}, 'http://127.0.0.1:9/article?a=1&b=2', 'and back';
    my $status = sso('sessionstatus', sid => $sid, lks => 'anon');
    is_deeply [@$status{qw(sid sts)}], [$sid, 'loggedin'], 'the same session is logged in';
    is api(token(grant_type => 'ticket', scope => '/external/me/w', ticket => $status->{at}), 'v1/me')->{json}{item}{id},
        $ANNA, 'the ticket is hers';
    ok !exists sso('sessionstatus', sid => $sid, lks => 'loggedin')->{at}, 'no ticket while lks is loggedin';
    ok sso('sessionstatus', sid => $sid, lks => 'terminated')->{at}, 'one when it is not';
    ok identify($browser)->{claims}{at}, 'identify brings one';

    is sso('logout', sid => $sid)->{sts}, 'terminated', 'logout';
    is sso('sessionstatus', sid => $sid, lks => 'loggedin', cid => 'poor')->{sts}, 'terminated', 'other sites see it';
    my $next = identify($browser)->{claims};
    isnt $next->{sid}, $sid, 'the browser gets a new session';
    is $next->{sts}, 'anon', 'that nobody is logged in to';
    is sso('sessionstatus', sid => 'x', lks => 'anon')->{err}, 'session_not_found', 'unknown session';
    is sso('logout', sid => 'x')->{err}, 'session_not_found', 'for logout too';
    $sim->reset;
};

subtest 'authenticate' => sub {
    my $sid = identify(browser())->{claims}{sid};
    my $try = sub ($usr, $pwd) { sso('authenticate', sid => $sid, usr => $usr, pwd => $pwd) };
    my $wrong = $try->('anna@example.se', 'no');
    is_deeply [@$wrong{qw(err raa sts)}], ['invalid_credentials', 4, 'anon'], 'wrong password, attempts left';
    is $try->('nobody@example.se', 'no')->{raa}, 4, 'an unknown address looks the same';
    is $try->('cilla@example.se', $PASSWORD)->{err}, 'account_not_active', 'not activated';
    is $try->('cilla@example.se', 'no')->{err}, 'invalid_credentials', 'which only the password tells';
    my $in = $try->('ANNA@example.se', $PASSWORD);
    is $in->{sts}, 'loggedin', 'right';
    ok $in->{at}, 'with a ticket';
    is $try->('anna@example.se', 'no')->{raa}, 4, 'which starts the count anew';
    $try->('anna@example.se', 'no') for 1 .. 3;
    my $frozen = $try->('anna@example.se', 'no');
    is $frozen->{err}, 'account_frozen', 'the fifth freezes';
    cmp_ok $frozen->{frf}, '>', 3500, 'for an hour';
    is $try->('anna@example.se', $PASSWORD)->{err}, 'account_frozen', 'for the right password too';
    my $attempts = api(token(scope => '/external/account/r'), 'v1/accounts/get_authentication_attempts',
        email => 'anna@example.se')->{json}{item};
    is_deeply [@$attempts{qw(account_frozen remaining_authentication_attempts)}], [$TRUE, 0], 'the API says so as well';
    $sim->account($ANNA, {frozen => $FALSE});
    is $try->('anna@example.se', $PASSWORD)->{sts}, 'loggedin', 'until somebody unlocks it';
    $sim->shape(freeze_seconds => 1);
    $try->('bert@example.se', 'no') for 1 .. 5;
    sleep 1.1;
    is $try->('bert@example.se', $PASSWORD)->{sts}, 'loggedin', 'or the time has passed';
    is $try->('anna@example.se', "other$PASSWORD")->{err}, 'invalid_credentials', 'accounts of others are not found';

    my $app = sso('createsession', apn => 'App', apv => '1', osn => 'OS', osv => '2', exp => int(time) + 86400);
    is $app->{sts}, 'anon', 'createsession';
    my $ticket = $sim->ticket($BERT, 'site');
    my $with   = sso('authenticatewithticket', sid => $app->{sid}, at => $ticket);
    is $with->{sts}, 'loggedin', 'authenticatewithticket';
    is sso('authenticatewithticket', sid => $app->{sid}, at => $ticket)->{err}, 'invalid_ticket', 'once';
    $sim->session($app->{sid}, {status => 'gone'});
    is sso('sessionstatus', sid => $app->{sid}, lks => 'loggedin')->{err}, 'session_not_found', 'a session can be lost';
    $sim->reset;
};

subtest 'switches of SSO2' => sub {
    my $browser = browser();
    log_in($browser);
    my $sid    = identify($browser)->{claims}{sid};
    my $status = sub ($lks) { sso('sessionstatus', sid => $sid, lks => $lks) };
    my %ticket = (always => [1, 1, 1], never => [0, 0, 0], identify => [0, 0, 1], normal => [1, 0, 1]);
    for my $rule (sort keys %ticket) {
        $sim->shape(ticket => $rule);
        my @got = map { $_->{at} ? 1 : 0 } $status->('anon'), $status->('loggedin'), identify($browser)->{claims};
        is_deeply \@got, $ticket{$rule}, "ticket $rule (lks anon, lks loggedin, identify)";
    }
    $sim->shape(claims => 'minimal');
    is_deeply [sort keys %{$status->('loggedin')}], [qw(exp iat nbf sid sts)], 'claims minimal';
    $sim->shape(claims => 'bare');
    is_deeply [sort keys %{$status->('loggedin')}], [qw(sid sts)], 'claims bare';
    $sim->shape(absent_claims => 'empty');
    is_deeply $status->('loggedin'), {sid => $sid, sts => 'loggedin', at => '', err => ''}, 'absent_claims empty';
    $sim->shape(claims => 'full', answer_aud => 'pw', answer_iss => 'me', extra_fields => 1, answer_lifetime => 5);
    my $full = $status->('loggedin');
    is_deeply [@$full{qw(aud iss)}], [qw(pw me)], 'answer_aud, answer_iss';
    is $full->{exp} - $full->{iat}, 5, 'answer_lifetime';
    ok $full->{simulator_note}, 'extra_fields';
    $sim->shape(clock_skew => 100);
    is sso('sessionstatus', sid => $sid, lks => 'anon')->{refused}, 401, 'clock_skew: our clock is behind';
    $sim->shape(clock_skew => 0, sso_error_status => 404);
    my $got = sso_call('sessionstatus', jwt(common(%visitor, sid => 'x', lks => 'anon')));
    is $got->{status}, 404, 'sso_error_status';
    is claims($got->{json}{t})->{err}, 'session_not_found', 'which still carries the message';
    $sim->shape(identify_error => 'internal');
    is identify($browser)->{claims}{err}, 'internal', 'identify_error';
    $sim->reset;

    $sim->shape(sid => 'rotate');
    $browser = browser();
    my $old = identify($browser)->{claims}{sid};
    log_in($browser);
    my $new = sso('sessionstatus', sid => $old, lks => 'anon');
    is $new->{sts}, 'loggedin', 'sid rotate: the old one still leads to the session';
    isnt $new->{sid}, $old, 'which has a new one';
    is identify($browser)->{claims}{sid}, $new->{sid}, 'the browser has it too';
    is sso('sessionstatus', sid => $new->{sid}, lks => 'loggedin')->{sts}, 'loggedin', 'and it works';
    $sim->reset;

    $sim->shape(device_limit => 2);
    my @sids = map { my $b = browser(); log_in($b); identify($b)->{claims}{sid} } 1 .. 3;
    is_deeply [map { sso('sessionstatus', sid => $_, lks => 'loggedin')->{sts} } @sids],
        [qw(terminated loggedin loggedin)], 'device_limit ends the oldest';
    is $sim->logout_account($ANNA), 2, 'logout-account ends the rest';
    is sso('sessionstatus', sid => $sids[2], lks => 'loggedin')->{sts}, 'terminated', 'at once';
    $sim->session(identify(browser())->{claims}{sid}, {status => 'loggedin', account => $BERT});
    is $sim->logout_account($BERT), 1, 'a test can log in by the books';
    $sim->shape(ticket_lifetime => 0);
    my $late = browser();
    log_in($late);
    my %grant = (grant_type => 'ticket', scope => '/external/me/w', ticket => identify($late)->{claims}{at});
    is token_call(%grant)->{json}{error}, 'invalid_grant', 'ticket_lifetime';
    $sim->reset;
};

# -- the portal

subtest 'the portal' => sub {
    my $browser = browser();
    my $login   = browse($browser, GET => $sim->portal . '/login/index' . query(continue => 'http://127.0.0.1:9/a'));
    like $login->{content}, qr{<label for="username">.*<input id="username"}s, 'labelled form';
    like $login->{content}, qr{<h1>Log in</h1>}, 'heading';
    for my $bad ('http://evil.example/', '//evil.example/', 'http://127.0.0.1:9@evil.example/', 'javascript:alert(1)') {
        is browse($browser, GET => $sim->portal . '/login/index' . query(continue => $bad))->{status}, 400, "not to $bad";
    }
    my $wrong = log_in($browser, 'anna@example.se', 'no');
    is $wrong->{status}, 403, 'wrong password';
    like $wrong->{content}, qr{role="alert">Wrong e-mail or password\. Attempts left: 4}, 'says so';
    unlike log_in($browser, '"><script>', 'no')->{content}, qr/<script>/, 'escaped';
    like log_in($browser, 'cilla@example.se')->{content}, qr/not activated/, 'not activated';
    log_in($browser);
    is browse($browser, GET => $sim->portal . '/login/index' . query(continue => 'http://127.0.0.1:9/a'))->{headers}{location},
        'http://127.0.0.1:9/a', 'whoever is logged in goes straight back';
    like browse($browser, GET => $sim->portal . '/')->{content}, qr/anna\@example\.se.*example_web/s, 'my account';
    is browse($browser, POST => $sim->portal . '/logout')->{status}, 302, 'log out';
    like browse($browser, GET => $sim->portal . '/')->{content}, qr/not logged in/, 'is out';
    is identify($browser)->{claims}{sts}, 'anon', 'at SSO2 too';

    my $shop = $sim->portal . '/v2/shop/example_digital' . query(returnUrl => 'http://127.0.0.1:9/article');
    my ($to_login) = browse($browser, GET => $shop)->{content} =~ /<a href="([^"]+)">Log in to buy/;
    my $form = browse($browser, GET => $sim->portal . $to_login);
    my ($continue) = $form->{content} =~ /name="continue" value="([^"]*)"/;
    my $in = browse($browser, POST => $sim->portal . '/login/index', Username => 'bert@example.se',
        Password => $PASSWORD, continue => $continue);
    is $in->{headers}{location}, $shop, 'back to the shop after the login';
    my $page = browse($browser, GET => $shop)->{content};
    my ($period) = $page =~ /type="radio"[^>]*value="(\w+)"/;
    is $period, $PERIOD, 'a period to choose';
    my %order = (period => $period, returnUrl => 'http://127.0.0.1:9/article');
    is browse($browser, POST => $sim->portal . '/v2/shop/example_digital', %order, returnUrl => 'http://evil.example/')->{status},
        400, 'not to anywhere';
    is_deeply $sim->books->{orders}, [], 'and nothing bought';
    my $bought = browse($browser, POST => $sim->portal . '/v2/shop/example_digital', %order);
    is $bought->{headers}{location}, 'http://127.0.0.1:9/article', 'bought, and back';
    is browse($browser, POST => $sim->portal . '/v2/shop/example_digital', %order)->{status}, 403, 'once';

    my $plain = token(scope => '/external/account/r /external/order/r');
    is_deeply api($plain, 'v1/accounts/active_products', account_id => $BERT)->{json}{item}{active_products},
        [qw(example_web example_app)], 'his products';
    my $orders = api($plain, 'v1/order', account_id => $BERT)->{json}{items};
    is @$orders, 1, 'his orders';
    is $orders->[0]{order_id}, 'EXAMPLE-101', 'an order id';
    is $orders->[0]{payments}[0]{amount}, '21000', 'amount in minor units';
    is api($plain, 'v1/order', order_id => 'EXAMPLE-101')->{json}{item}{id}, $orders->[0]{id}, 'by its id';
    is_deeply api($plain, 'v1/order', account_id => $ANNA)->{json}, {items => []}, 'none of hers';
    my $foreign = token(client_id => 'foreign', client_secret => $OTHER_SECRET, scope => '/external/order/r');
    is api($foreign, 'v1/order', order_id => 'EXAMPLE-101')->{status}, 404, 'not to another organisation';
    is $sim->books->{orders}[0]{account}, $BERT, 'the books say the same';
    $sim->reset;
    is_deeply $sim->books->{orders}, [], 'reset forgets orders';
    is_deeply api(identity_token('/external/me/w', $BERT), 'v1/me/active_products')->{json}{item}{active_products}, [],
        'and what they gave';
};

subtest 'the code flow' => sub {
    my $browser = browser();
    my %ask = (client_id => 'site', redirect_uri => $LANDING, response_type => 'code', oid => 'example', state => 'a b');
    my $auth  = $sim->api . '/oauth2/auth' . query(%ask);
    my $login = browse($browser, GET => $auth)->{headers}{location};
    is parameters($login)->{continue}, $auth, 'to the login';
    my $in = browse($browser, POST => $sim->portal . '/login/index', Username => 'anna@example.se',
        Password => $PASSWORD, continue => $auth);
    is $in->{headers}{location}, $auth, 'and back';
    my $back = parameters(browse($browser, GET => $auth)->{headers}{location});
    is $back->{state}, 'a b', 'state';
    my %grant = (grant_type => 'authorization_code', code => $back->{code}, redirect_uri => $LANDING, scope => undef);
    my $got = token_call(%grant);
    is api($got->{json}{access_token}, 'v1/me')->{json}{item}{id}, $ANNA, 'a token with identity';
    is token_call(%grant)->{json}{error}, 'invalid_grant', 'once';
    is browse($browser, GET => $sim->api . '/oauth2/auth' . query(%ask, redirect_uri => 'http://evil.example/'))->{status},
        400, 'to the registered URI only';
    $sim->reset;
};

# -- faults, journal, control

subtest 'faults' => sub {
    my $token = token(scope => '/external/product/r');
    my $get   = sub { api($token, 'v2/products', product_code => 'example_digital') };
    my %api   = (role => 'api', path => '/external/api/v2/products');
    my $good  = $get->()->{content};

    my $id = $sim->fault(%api, kind => 'status', status => 429, retry_after => 7);
    is_deeply [$get->()->{status}, $get->()->{headers}{'retry-after'}], [429, 7], 'status, retry_after, again and again';
    is token_call(scope => '/external/product/r')->{status}, 200, 'not on another path';
    $sim->clear_faults($id);
    is $get->()->{status}, 200, 'removed';
    $sim->fault(%api, kind => 'status', times => 2);
    is_deeply [map { $get->()->{status} } 1 .. 3], [503, 503, 200], 'times';
    $sim->fault(%api, kind => 'status', method => 'POST');
    is $get->()->{status}, 200, 'another method is left alone';
    $sim->clear_faults;
    $sim->fault(%api, kind => 'status', status => 302, location => 'http://evil.example/', times => 1);
    is $get->()->{headers}{location}, 'http://evil.example/', 'location';

    $sim->fault(%api, kind => 'html', times => 1);
    like $get->()->{headers}{'content-type'}, qr{\Atext/html}, 'html';
    $sim->fault(%api, kind => 'empty', times => 1);
    my $empty = $get->();
    is_deeply [@$empty{qw(status content)}], [200, ''], 'empty';
    $sim->fault(%api, kind => 'broken_json', times => 1);
    my $broken = $get->();
    is $broken->{json}, undef, 'broken_json';
    is index($good, $broken->{content}), 0, 'is the beginning of the real one';
    $sim->fault(%api, kind => 'wrong_content_type', times => 1);
    my $typed = $get->();
    is_deeply [$typed->{headers}{'content-type'}, $typed->{content}], ['text/plain', $good], 'wrong_content_type';
    $sim->fault(%api, kind => 'wrong_type', times => 1);
    my $wrong = $get->()->{json}{item};
    is_deeply [@$wrong{qw(name vat_code customer_can_cancel)}], [42, '25', 'true'], 'wrong_type';
    is ref $wrong->{price_periods}, 'HASH', 'wrong_type: an object for a list';
    $sim->fault(%api, kind => 'oversize', times => 1, bytes => 100_000);
    my $large = $get->();
    is length $large->{content}, 100_000, 'oversize: as large as ordered';
    is $large->{json}{item}{product_code}, 'example_digital', 'and still JSON';
    $sim->fault(%api, kind => 'oversize', times => 1);
    is length $get->()->{content}, 8 * 1024 * 1024, 'oversize: 8 MB without an order';

    $sim->fault(%api, kind => 'delay', seconds => 0.5, times => 1);
    my $started = time;
    is $get->()->{content}, $good, 'delay: the right answer';
    cmp_ok time - $started, '>=', 0.5, 'later';
    $sim->fault(%api, kind => 'slow_drip', seconds => 0, times => 1);
    is $get->()->{content}, $good, 'slow_drip: whole in the end';
    # Without `times`: HTTP::Tiny repeats a GET whose connection was cut.
    for my $kind (qw(cut_before cut_after cut_body)) {
        my $cut = $sim->fault(%api, kind => $kind);
        is $get->()->{status}, 599, $kind;
        $sim->clear_faults($cut);
    }
    $sim->fault(%api, kind => 'hang', seconds => 0.5);
    $started = time;
    is $get->()->{status}, 599, 'hang';
    cmp_ok time - $started, '>=', 0.5, 'as long as ordered';
    $sim->clear_faults;
    is $get->()->{content}, $good, 'and all is well';
};

subtest 'a fault tells whether the request was carried out' => sub {
    my %token = (grant_type => 'ticket', scope => '/external/me/w');
    my %case  = (
        'cut_before' => [{kind => 'cut_before'}, 1],
        'cut_after'  => [{kind => 'cut_after'},  0],
        'status'     => [{kind => 'status'},     1],
        'status, before_acting false' => [{kind => 'status', before_acting => 0}, 0],
        'hang'                        => [{kind => 'hang', seconds => 0.1}, 1],
        'hang, before_acting false'   => [{kind => 'hang', seconds => 0.1, before_acting => 0}, 0],
        'broken_json'                 => [{kind => 'broken_json'}, 0],
    );
    for my $name (sort keys %case) {
        my ($fault, $left) = @{$case{$name}};
        my $ticket = $sim->ticket($ANNA, 'site');
        $sim->fault(role => 'api', %$fault, times => 1);
        token_call(%token, ticket => $ticket);
        is token_call(%token, ticket => $ticket)->{status} == 200 ? 1 : 0, $left,
            "$name: the ticket is " . ($left ? 'left' : 'used');
    }
    for my $bad ({kind => 'status'}, {role => 'api', kind => 'no'}, {role => 'api', kind => 'status', x => 1},
        {role => 'api', kind => 'cut_after', before_acting => 1}, {role => 'control', kind => 'status'})
    {
        ok !eval { $sim->fault(%$bad); 1 }, 'refused: ' . join ' ', %$bad;
    }
    $sim->reset;
};

subtest 'the journal' => sub {
    $sim->clear_requests;
    my $anna = identity_token();
    api($anna, 'v1/me');
    sso('sessionstatus', sid => 'x', lks => 'anon');
    api($anna, 'v1/me/active_products', include_articles => 'true');
    $sim->fault(role => 'api', kind => 'cut_before', times => 1);
    token_call();
    my @all = $sim->requests;
    is_deeply [map {"$_->{role} $_->{method} $_->{path}"} @all], [
        'api POST /api/authorization/access_token', 'api GET /external/api/v1/me', 'sso POST /sessionstatus',
        'api GET /external/api/v1/me/active_products', 'api POST /api/authorization/access_token'], 'every request in order';
    is $all[0]{form}{grant_type}, 'ticket', 'form';
    is $all[1]{headers}{authorization}, "Bearer $anna", 'headers';
    is_deeply [@{$all[1]}{qw(status client account)}], [200, 'site', $ANNA], 'status, client, account';
    is_deeply [$all[2]{claims}{sid}, $all[2]{operation}, $all[2]{client}], ['x', 'sessionstatus', 'site'], 'claims';
    is $all[3]{query}{include_articles}, 'true', 'query';
    is $all[4]{status}, undef, 'no status where nothing was sent';
    is $sim->requests(role => 'sso'), 1, 'filter by role';
    is $sim->requests(path => '/external/'), 2, 'filter by path';
    is $sim->requests(role => 'api', path => '/external/api/v1/me/', account => $ANNA), 1, 'filter by more';
    is_deeply [grep { $_->{path} =~ /me\z/ } $sim->stats],
        [{role => 'api', method => 'GET', path => '/external/api/v1/me', status => 200, count => 1}], 'stats';
    $sim->clear_requests;
    is_deeply [[$sim->requests], [$sim->stats]], [[], []], 'forgotten';
};

subtest 'the journal keeps counts alone' => sub {
    $sim->shape(journal => 'counts');
    $sim->clear_requests;
    identify(browser());
    is scalar(my @none = $sim->requests), 0, 'no request is kept';
    is_deeply [map { [@$_{qw(role method path status count)}] } $sim->stats], [[qw(sso GET /identify 302 1)]], 'but counted';
    $sim->shape(journal => 'full');
    identify(browser());
    is scalar(my @one = $sim->requests(path => '/identify')), 1, 'until it is to be kept again';
};

subtest 'control' => sub {
    ok !eval { $sim->shape(price => 'gold'); 1 }, 'a wrong value of a switch is refused';
    ok !eval { $sim->shape(envelope => 'flat', prize => 'string'); 1 }, 'a wrong name as well';
    is $sim->shape->{envelope}, 'item', 'and nothing is set';
    ok !eval { $sim->account('f' x 24, {products => []}); 1 }, 'no such account';
    ok !eval { $sim->account($ANNA, {prodcts => []}); 1 }, 'no such member';
    ok !eval { $sim->reset({accounts => [{}]}); 1 }, 'a broken seed is refused';
    ok $sim->books->{accounts}[0], 'and the old books stay';
    my $new = $sim->new_account({organisation => 'example', email => 'new@example.se', password => 'x'});
    like $new->{id}, qr/\A[a-f\d]{24}\z/, 'a new account has an id';
    ok !eval { $sim->new_account({organisation => 'example', email => 'NEW@example.se', password => 'x'}); 1 }, 'once';
    $sim->client('site', {redirect_uri => 'http://127.0.0.1:6/l'});
    like identify(browser())->{location}, qr{\Ahttp://127\.0\.0\.1:6/l\?t=}, 'a landing can be changed';
    my $session = $sim->books->{sessions}[-1];
    $sim->terminate($session->{sid});
    is sso('sessionstatus', sid => $session->{sid}, lks => 'loggedin')->{sts}, 'terminated', 'terminate';
    ok !grep({ exists $_->{secret} || exists $_->{password} } @{$sim->books->{clients}}, @{$sim->books->{accounts}}),
        'the books keep secrets';

    my ($anna) = grep { $_->{id} eq $ANNA } @{$sim->part('accounts')};
    is $anna->{id}, $ANNA, 'one part of the books';
    ok !eval { $sim->part('secrets'); 1 }, 'a part that there is not';
    my $held = grep { ($_->{account} // '') eq $ANNA } map {@$_} @{$sim->books}{qw(sessions tokens)};
    cmp_ok $held, '>', 0, 'an account has sessions and tokens';
    $sim->forget($ANNA, 'f' x 24);
    is scalar(grep { ($_->{account} // $_->{id} // '') eq $ANNA } map {@$_} @{$sim->books}{qw(accounts sessions tokens tickets)}), 0,
        'forgotten, it has none, and is not there';
    ok $sim->new_account({%$anna, password => 'x'}), 'its address is free again';
    ok !eval { $sim->call(POST => '/forget', {accounts => 'all'}); 1 }, 'what is no list is refused';
    my $clean = {%seed, accounts => []};
    $sim->reset($clean);
    is_deeply $sim->books->{accounts}, [], 'a reset can bring another seed';
};

subtest 'the program' => sub {
    my $program = "$RealBin/sim/payway-sim";
    my $help    = qx($^X $program --help);
    open my $in, '<:encoding(UTF-8)', "$RealBin/sim/README.md" or die "README.md: $!";
    my $readme = do { local $/; <$in> };
    for my $name (sort keys %{$sim->shape}) {
        like $help,   qr/^  \Q$name\E /m, "--help names the switch $name";
        like $readme, qr/^\| `\Q$name\E` /m, "README names the switch $name";
    }
    my ($kinds) = $help =~ /Kinds of fault:\n(.*?)\n\n/s;
    for my $kind ($kinds =~ /^  (\w+)/mg) { like $readme, qr/^\| `$kind` /m, "README names the fault $kind" }
    my ($routes) = $help =~ /over HTTP:\n(.*?)\n\n/s;
    for my $route ($routes =~ m{^  (\w+ +/\S*)}mg) {
        my $written = $route =~ s/ +/ /r;
        like $readme, qr/^\| `\Q$written\E` /m, "README names $written";
    }

    my $pid = $sim->pid;
    my $url = $sim->api;
    $sim->stop;
    ok !kill(0, $pid), 'stop ends the process';
    is answer(GET => $url)->{status}, 599, 'and its port';
    my $second = PWK::Sim->start(seed => \%seed);
    $pid = $second->pid;
    undef $second;
    ok !kill(0, $pid), 'so does the end of the object';
    ok !eval { PWK::Sim->start(seed => {accounts => [{organisation => 'x', email => 'x', password => 'x'}]}, log => '/dev/null') },
        'a broken seed does not start';
    my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "listen: $!";
    ok !eval { PWK::Sim->start(seed => \%seed, ports => {api => $taken->sockport}, log => '/dev/null') },
        'nor one whose port is taken';
};

done_testing;
