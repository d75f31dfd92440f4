#!/usr/bin/perl

# The wall: offers with what Payway says of them, the JSON for programs, languages, the buttons; our own login form; two
# sites side by side; mod_cache.

use v5.36;
use utf8;
use FindBin;
use lib "$FindBin::Bin/lib";
use Encode   qw(decode_utf8);
use JSON::PP ();
use PWK::Test;

my @PERIODS = map { {payment_method => 'klarna_payments', enabled => JSON::PP::true(), type => 'recurring', %$_} } (
    {id => '5f0d9ea795cfebfb8544ab01', iteration_type => 'month', iteration_length => 1, price => 99.5},
    {id => '5f0d9ea795cfebfb8544ab02', iteration_type => 'year',  iteration_length => 1, price => 1299},
    {id => '5f0d9ea795cfebfb8544ab03', iteration_type => 'month', iteration_length => 6, price => 499, enabled => JSON::PP::false()},
    {id => '5f0d9ea795cfebfb8544ab04', iteration_type => 'day',   iteration_length => 1, price => 25, type => 'limited'},
);
my %package = (organisation => $PWK::Test::ORGANISATION, description => 'Allt på <b>webben</b>', products => ['example_web'], periods => \@PERIODS);
my $OFFERS = <<~'OFFERS';
        PaywayOffer two   code=example_digital products=example_web
        PaywayOffer day   code=example_digital products=example_web type=limited title="Ett dygn" title.en="One day"
        PaywayOffer gone  code=not_there products=example_web title=Utan price="från 10 kr" price.en="from SEK 10"
        PaywayOffer other code=example_digital products=example_other
        <Location /chosen>
            AuthType Payway
            Require payway-product example_web
            PaywayOffers day two
            PaywayWallStatus 200
            PaywayLanguages en
            PaywayTrafficSource "%{HTTP_HOST}"
        </Location>
    OFFERS
my ($sim, $server, $client) = paywall(
    vhost => standard_vhost() =~ s/^\s*PaywayOffer .*\n//mr . $OFFERS,
    seed  => {packages => [{%package, code => 'example_digital', name => 'Digital & "mer"'}]},
);
$server->file('docroot/chosen/a.html', "SENTINEL\n");
$server->expect_log(qr/PWK0060: no price of not_there/);
my $url = $server->url;
sub browser (%option) { return PWK::Client->new(base => $url, %option) }
sub text ($answer) { return decode_utf8($answer->body) =~ s/\xa0/ /gr }
sub buttons ($answer) { return [$answer->body =~ /data-offer="(\w+)"/g] }
sub field ($answer, $name) { my ($v) = $answer->body =~ /name="$name"[^>]*value="([^"]*)"/; return $v }

subtest 'offers, as Payway prices them' => sub {
    my $answer = $client->get('/premium/a.html');
    is_deeply buttons($answer), [qw(two day gone)], 'those that open this place, in order';
    my $text = text($answer);
    like $text, qr/99,50 kr/,        'a price with öre';
    like $text, qr/1 299 kr/,        'one of thousands';
    like $text, qr/25 kr/,           'a limited one';
    unlike $text, qr/499/,           'none that is not for sale';
    like $text, qr/Digital &amp; &quot;mer&quot;/, 'names are encoded';
    like $text, qr/Allt på &lt;b&gt;/, 'descriptions too';
    like $text, qr/från 10 kr/,      'the publisher\'s words where Payway says nothing';
    is scalar(() = $answer->body =~ /type="radio"/g), 2, 'two periods to choose from';
    my $chosen = $client->get('/chosen/a.html');
    is $chosen->status, 200, 'PaywayWallStatus';
    is_deeply buttons($chosen), [qw(day two)], 'PaywayOffers: these, in this order';
    like $chosen->body, qr/<html lang="en">/, 'PaywayLanguages: English alone';
    like text($chosen), qr/SEK 99\.50/, 'and its way to write a price';
};

subtest 'languages' => sub {
    my $lang = sub ($path, @headers) { ($client->get($path, @headers)->body =~ /<html lang="(\w+)"/)[0] };
    is $lang->('/premium/a.html'), 'sv', 'the first';
    is $lang->('/premium/a.html', 'Accept-Language' => 'en-GB,en;q=0.9,sv;q=0.5'), 'en', 'Accept-Language';
    is $lang->('/premium/a.html', 'Accept-Language' => 'de, sv;q=0.2, en;q=0.1'), 'sv', 'by quality';
    is $lang->('/premium/a.html?lang=en'), 'en', '?lang=';
    is $lang->('/premium/a.html?lang=xx', 'Accept-Language' => 'en'), 'en', 'not an unknown one';
    is $client->get('/premium/a.html')->header('Content-Language'), 'sv', 'and says so';
};

subtest 'programs get 402 and JSON' => sub {
    for my $headers ([Accept => 'application/json'], [Accept => 'application/vnd.api+json'], ['X-Requested-With' => 'XMLHttpRequest', Accept => 'text/html']) {
        my $answer = $client->get('/chosen/a.html', @$headers);
        is $answer->status, 402, "@$headers: 402, whatever PaywayWallStatus says";
        like $answer->header('Content-Type'), qr{\Aapplication/json}, 'JSON';
    }
    my $json = $client->get('/premium/a.html', Accept => 'application/json')->json;
    is_deeply [sort keys %$json], [qw(login_url offers offers_url products reason verdict)], 'its members';
    is $json->{verdict}, 'anonymous', 'verdict';
    is_deeply $json->{products}, ['example_web'], 'products';
    is_deeply [map { $_->{name} } @{$json->{offers}}], [qw(two day gone)], 'offers';
    is_deeply $json->{offers}[0]{periods}[0], {id => $PERIODS[0]{id}, type => 'recurring', unit => 'month', length => 1, price_minor => 9950, currency => 'SEK'}, 'a period';
    is $client->get('/payway/offers?r=%2Fpremium%2Fa.html')->status, 200, 'offers_url leads to a page';
};

subtest 'the buttons' => sub {
    my $browser = browser();
    my $wall    = $browser->follow($browser->navigate('/premium/a.html'));
    my %form    = (sale => field($wall, 'sale'), offer => 'two', csrf => field($wall, 'csrf'), period => $PERIODS[0]{id});
    my $answer  = $browser->post_form('/payway/buy', \%form);
    is $answer->status, 303, 'before login';
    like $answer->location, qr{/payway/login\?r=%2Fpayway%2Foffers%3Fr%3D%252Fpremium%252Fa.html%26o%3Dtwo%26lang%3Dsv\z}, 'logs in first, and comes back to the offer';
    my $offers = log_in($browser, 'empty', $answer->location);
    is_deeply buttons($offers), [qw(two day gone)], 'the offers again';
    like $offers->body, qr/data-offer="two"[^>]*>/, 'this one';
    %form = (sale => field($offers, 'sale'), offer => 'two', csrf => field($offers, 'csrf'));
    $sim->clear_requests;
    for my $case (
        ['no token',           403, {%form, csrf => undef}],
        ['a wrong token',      403, {%form, csrf => 'x' x 43}],
        ['an altered sale',    400, {%form, sale => $form{sale} =~ s/.\z/_/r . 'x'}],
        ['an offer that was not on that wall', 400, {%form, offer => 'other'}],
        ['an unknown field',   400, {%form, price => 1}],
        ['another site',       403, \%form, 'Sec-Fetch-Site' => 'cross-site'],
        ['a sibling',          403, \%form, 'Sec-Fetch-Site' => 'same-site'],
        ['another origin',     403, \%form, 'Sec-Fetch-Site' => undef, Origin => 'https://evil.example'],
        ['no origin at all',   403, \%form, 'Sec-Fetch-Site' => undef, Origin => undef, Referer => undef],
        ['plain text',         415, \%form, 'Content-Type' => 'text/plain'],
        ['no type',            415, \%form, 'Content-Type' => undef],
    ) {
        my ($name, $status, $fields, @headers) = @$case;
        my %given = map { defined $fields->{$_} ? ($_ => $fields->{$_}) : () } keys %$fields;
        is $browser->post_form('/payway/buy', \%given, @headers)->status, $status, $name;
    }
    is $browser->request(POST => '/payway/buy', headers => ['Content-Type' => 'application/x-www-form-urlencoded', 'Sec-Fetch-Site' => 'same-origin'],
        body => 'sale=' . 'x' x 17000)->status, 413, 'too large';
    is scalar(my @none = $sim->requests), 0, 'and Payway heard of none of it';
    like $browser->post_form('/payway/buy', \%form)->location, qr{\A\Q@{[$sim->portal]}\E/v2/shop/example_digital\?returnUrl=}, 'the button: the shop';
};

subtest 'prices: the last good answer is kept, and nobody is asked at each wall' => sub {
    $sim->clear_requests;
    $client->get('/premium/a.html') for 1 .. 20;
    is scalar(my @none = grep { $_->{path} !~ /not_there/ && ($_->{query}{code} // $_->{query}{product_code} // '') ne 'not_there' } $sim->requests(role => 'api')), 0,
        'twenty walls ask for no price';
    $sim->fault(role => 'api', kind => 'status', status => 503);
    $server->allow_log(qr/PWK00(?:30|32|60)/);
    $server->graceful;
    my $answer = $client->get('/premium/a.html');
    is $answer->status, 402, 'Payway away at the first wall after a restart: a wall all the same';
    like text($answer), qr/Ett dygn/, 'with the publisher\'s own words';
    $sim->clear_faults;
};

subtest 'our own form' => sub {
    $server->vhosts({config => standard_vhost("PaywayLogin form\n")});
    $server->graceful;
    my $browser = browser();
    my $form    = $browser->follow($browser->navigate('/payway/login?r=%2Fpremium%2Fa.html'));
    my $csrf    = field($form, 'csrf');
    my $who     = $PWK::Test::ACCOUNT{subscriber};
    my $try     = sub ($email, $password, @headers) {
        $browser->post_form('/payway/login', {csrf => $csrf, r => '/premium/a.html', email => $email, password => $password}, @headers);
    };
    my $wrong = $try->($who->{email}, 'wrong');
    is $wrong->status, 403, 'a wrong password';
    like text($wrong), qr/\b4\b/, 'tells how many tries are left';
    unlike $wrong->body, qr/wrong/, 'and does not repeat it';
    is $try->('', 'x')->status, 400, 'no address';
    is $try->($who->{email}, $who->{password}, 'Sec-Fetch-Site' => 'cross-site')->status, 403, 'from another site';
    is $browser->post_form('/payway/login', {csrf => 'x', r => '/', email => $who->{email}, password => $who->{password}})->status, 403, 'another browser\'s form';
    is $browser->cookie('payway_in'), undef, 'nobody is in yet';
    $sim->shape(device_limit => 1);
    my $right = $try->($who->{email}, $who->{password});
    is $right->header('Location'), "$url/premium/a.html", 'the right one: back to the article';
    like $browser->get('/premium/a.html')->body, qr/SENTINEL-A/, 'and reads';
    my $robot = browser();
    $csrf = field($robot->follow($robot->navigate('/payway/login')), 'csrf');
    my $last;
    for my $n (1 .. 25) {
        $last = $robot->post_form('/payway/login', {csrf => $csrf, r => '/', email => "x$n\@example.se", password => 'guess'});
    }
    is $last->status, 429, 'a robot that guesses is stopped';
};

subtest 'two sites side by side' => sub {
    my $port   = PWK::Server::free_port();
    my $secret = PWK::Server::random_text();
    $sim->reset({
        organisations => [{id => 'example'}, {id => 'second'}],
        clients       => [
            {id => $PWK::Test::CLIENT, secret => PWK::Server::slurp($server->path('secrets/client')), organisation => 'example', scopes => [@PWK::Test::SCOPES],
                redirect_uri => "$url/payway/landing", sso2 => 1},
            {id => 'client-two', secret => $secret, organisation => 'second', scopes => [@PWK::Test::SCOPES], redirect_uri => "http://127.0.0.1:$port/payway/landing", sso2 => 1},
        ],
        accounts => [map { {%{$PWK::Test::ACCOUNT{subscriber}}, id => "5a000000000000000000010$_->[0]", organisation => $_->[1], first_name => 'A', last_name => 'B'} } [1, 'example'], [2, 'second']],
        packages => [],
    });
    $server->secret(second => $secret);
    my $two = standard_vhost() =~ s/PaywayOrganisation .*/PaywayOrganisation second/r =~ s/PaywayClient .*/PaywayClient client-two file:\@SECRET:second\@/r
        =~ s/PaywayBaseURL .*/PaywayBaseURL http:\/\/127.0.0.1:$port/r;
    $server->vhosts({config => standard_vhost()}, {config => $two, port => $port}, {config => '', name => 'plain.example.se'});
    $server->restart;
    my $browser = browser();
    like log_in($browser)->body, qr/SENTINEL-A/, 'a reader of the one';
    my $cookie = $browser->cookie('payway');
    my $second = PWK::Client->new(base => "http://127.0.0.1:$port", cookies => 0);
    is $second->get('/premium/a.html', Cookie => "payway=$cookie")->status, 402, 'is nobody at the other, with the very cookie';
    is $second->get('/payway/me', Cookie => "payway=$cookie")->json->{state}, 'anonymous', 'under the same key';
    my $own = PWK::Client->new(base => "http://127.0.0.1:$port");
    like log_in($own)->body, qr/SENTINEL-A/, 'and has a login of its own there';
    isnt $own->get('/payway/me')->json->{csrf}, $browser->get('/payway/me')->json->{csrf}, 'with its own tokens';
    my $plain = browser(cookies => 0)->request(GET => '/premium/a.html', host => 'plain.example.se', headers => ['Payway-X' => 'y']);
    is $plain->status, 200, 'a virtual host without us is as it was';
    is scalar $plain->header('Vary'), undef, 'to the header';
};

subtest 'mod_cache' => sub {
    plan skip_all => 'no mod_cache_socache' unless -e '/usr/lib/apache2/modules/mod_cache_socache.so';
    for my $quick (qw(On Off)) {
        my ($csim, $cached) = paywall(
            modules => [qw(cache cache_socache)],
            config  => "CacheQuickHandler $quick\nCacheSocache shmcb:\@RUN\@/mod_cache(1048576)\nCacheEnable socache /\nCacheDefaultExpire 3600\nCacheIgnoreNoLastMod On\nCacheHeader on\n",
            directives => "Header set Cache-Control \"public, max-age=600\"\nHeader always set X-Site yes\n",
        );
        my ($first, $second, $nobody) = map { PWK::Client->new(base => $cached->url) } 1 .. 3;
        $nobody->get('/index.html') for 1 .. 2;
        like $nobody->get('/index.html')->header('X-Cache') // '', qr/\AHIT/, "CacheQuickHandler $quick: free pages are cached";
        log_in($first);
        log_in($second, 'empty', '/payway/login?r=%2Findex.html');
        like $first->get('/premium/a.html')->body, qr/SENTINEL-A/, 'a subscriber reads' for 1 .. 2;
        unlike $nobody->get('/premium/a.html')->body, qr/SENTINEL/, 'a stranger does not';
        unlike $second->get('/premium/a.html')->body, qr/SENTINEL/, 'nor another reader';
        like $first->get('/premium/a.html')->body, qr/SENTINEL-A/, 'and the subscriber is served no wall';
        my @csrf = map { ($_->get('/payway/offers')->body =~ /name="csrf" value="([^"]*)"/)[0] } $second, $nobody, $second;
        isnt $csrf[0], $csrf[1], 'each has a page of its own, fragments included';
        is $csrf[2], $csrf[0], 'again';
        $csim->stop;
        $cached->allow_log(qr/PWK0124/);
    }
};

$sim->stop;
done_testing;
