#!/usr/bin/perl

# Whose purchase it is, all the way: the token with identity, the ticket that buys it, the authorization that waits while a
# reader logs in, and the account that changes under a page. Nothing is claimed before everything is at hand, and nothing
# that Klarna approved is lost.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Sale ();
use PWK::Test;

my $API = '/external/api/v1/klarna_payments';
my ($sim, $server) = paywall(
    sells      => 1,
    seed       => {packages => [
        {code => 'example_digital', organisation => $PWK::Test::ORGANISATION, products => ['example_web'], name => 'Exempel Digital',
            periods => [{id => $PWK::Test::PERIOD, price => 149}]},
        {code => 'example_paper', organisation => $PWK::Test::ORGANISATION, products => ['example_paper'], name => 'Papper',
            periods => [{id => '5f0d9ea795cfebfb8544ab15', price => 399}]},
    ]},
    directives => <<~'MORE',
        PaywayOffer paper code=example_paper products=example_paper
        <Location /paper>
            AuthType Payway
            Require  payway-product example_paper
        </Location>
        MORE
);
my $n = 0;

sub buyer (%with) {
    my %login = (email => 'buyer' . ++$n . '@example.se', password => PWK::Server::random_text(9));
    my $account = $sim->new_account({%login, organisation => $PWK::Test::ORGANISATION});
    my $client  = PWK::Client->new(base => $server->url);
    log_in($client, \%login);
    return (PWK::Sale->new(sim => $sim, client => $client), $client, $account->{id}, \%login);
}
sub calls ($path) { return scalar grep { $_->{path} eq "$API/$path" } $sim->requests(role => 'api') }
sub charges ($account) { return scalar grep { $_->{account} eq $account } $sim->charges }

# Empties the cache as a restart does; cookies stay.
sub flush_cache () { $server->restart }

subtest 'the page sees to a token; authorize needs nothing more' => sub {
    my ($sale, $client, $account) = buyer();
    my $page  = $sale->press('/premium/a.html');
    my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
    $sim->clear_requests;
    $sim->fault(role => 'sso', kind => 'status', status => 503);
    like $client->follow($sale->authorize($page, token => $token))->url, qr{/payway/confirm/}, 'bought while SSO2 is away';
    $sim->clear_faults;
    is charges($account), 1, 'charged once';
    my @calls = map {"$_->{method} $_->{path}"} grep { $_->{path} !~ /accounts/ } $sim->requests(role => 'api');
    is_deeply \@calls, ['GET /external/api/v1/me/active_products', "POST $API/place_order"], 'two calls: the products, the order';
};

subtest 'an old token is renewed by the page' => sub {
    $sim->shape(token_lifetime => 600);    # shorter than what the page wants: renewed each time
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    is $page->status, 200, 'the page is there all the same';
    $sim->clear_requests;
    $client->get($page->url);
    is scalar(my @tokens = $sim->requests(role => 'api', path => '/api/authorization/access_token')), 1, 'each view sees to a new one';
    $sim->shape(token_lifetime => 3600);
    like $client->follow($sale->authorize($page))->url, qr{/payway/confirm/}, 'bought';
};

subtest 'the cache is flushed between page and authorize' => sub {
    my ($sale, $client, $account) = buyer();
    my $page  = $sale->press('/premium/a.html');
    my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
    flush_cache();
    like $client->follow($sale->authorize($page, token => $token))->url, qr{/payway/confirm/}, 'SSO2 gives a ticket: bought';
    is charges($account), 1, 'charged once';
};

subtest 'flushed, and SSO2 gives no ticket: the authorization waits' => sub {
    for my $rule ('identify') {
        my ($sale, $client, $account) = buyer();
        my $page  = $sale->press('/premium/a.html');
        my $id    = PWK::Sale::id($page);
        my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
        flush_cache();
        $sim->shape(ticket => $rule);
        $sim->clear_requests;
        my $answer = $sale->authorize($page, token => $token);
        like $answer->location, qr{\A\Q@{[$sim->sso]}\E/identify\?}, 'on the way to identify';
        my $kept = $answer->cookie('payway-resume');
        ok $kept, 'the authorization waits in a cookie';
        like $kept->{line} // '', qr/Max-Age=600;.*HttpOnly; SameSite=Lax/, 'for ten minutes, out of reach of scripts';
        unlike $kept->{line} // '', qr/\Q$token\E/, 'sealed';
        is $sale->state($id)->{state}, 'created', 'nothing is claimed';
        my $resume = $client->follow($answer);
        is PWK::Sale::id($resume), $id, 'back on the purchase page';
        is PWK::Sale::field($resume, 'klarna_authorization_token'), $token, 'which holds the authorization';
        unlike $resume->body, qr/data-client-token="/, 'and no widget';
        is calls('place_order'), 0, 'nothing was sent yet';
        my $placed = $client->post_form("/payway/authorize/$id", PWK::Sale::authorization($resume, $token));
        like $client->follow($placed)->url, qr{/payway/confirm/}, 'one press, and it is bought';
        is $client->cookie('payway-resume'), undef, 'the cookie is gone';
        is charges($account), 1, 'charged once';
        $sim->shape(ticket => 'normal');
    }
};

subtest 'never a ticket: an honest page, and no loop' => sub {
    my ($sale, $client, $account) = buyer();
    my $page  = $sale->press('/premium/a.html');
    my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
    flush_cache();
    $sim->shape(ticket => 'never');
    $server->expect_log(qr/PWK0090/);
    my $end = $client->follow($sale->authorize($page, token => $token));
    like $end->body, qr/data-error="login_failed"/, 'it says so';
    is $sale->state(PWK::Sale::id($page))->{state}, 'created', 'nothing is claimed';
    $sim->shape(ticket => 'normal');
    my $resume = $client->follow($client->navigate($page->url));
    is PWK::Sale::field($resume, 'klarna_authorization_token'), $token, 'and the authorization is not lost';
    like $client->follow($sale->authorize($resume, token => $token))->url, qr{/payway/confirm/}, 'bought later';
    is charges($account), 1, 'charged once';
};

subtest 'logged out between page and authorize' => sub {
    my ($sale, $client, $account, $login) = buyer();
    my $page  = $sale->press('/premium/a.html');
    my $id    = PWK::Sale::id($page);
    my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
    $client->forget('payway');
    my $answer = $sale->authorize($page, token => $token);
    like $answer->location, qr{/payway/login\?r=%2Fpayway%2Fpurchase%2F$id\z}, 'without a cookie: to log in';
    my $resume = $client->follow($answer);    # the portal knows the browser still
    is PWK::Sale::id($resume), $id, 'and back';
    is PWK::Sale::field($resume, 'klarna_authorization_token'), $token, 'with the authorization';
    like $client->follow($sale->authorize($resume, token => $token))->url, qr{/payway/confirm/}, 'bought';
    is charges($account), 1, 'charged once';
};

subtest 'the session ended elsewhere' => sub {
    my ($sale, $client, $account, $login) = buyer();
    my $page = $sale->press('/premium/a.html');
    my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
    flush_cache();
    $sim->logout_account($account);
    my $answer = $sale->authorize($page, token => $token);
    like $answer->location, qr{/payway/login\?}, 'to log in';
    is $sale->state(PWK::Sale::id($page))->{state}, 'status 404', 'logged out here too';
    my $resume = log_in($client, $login, $answer->location);
    is PWK::Sale::field($resume, 'klarna_authorization_token'), $token, 'and back with the authorization';
    is charges($account), 0, 'nothing was placed';
};

subtest 'the account changes under the page' => sub {
    my ($sale, $client, $account) = buyer();
    my (undef, undef, $second, $login) = buyer();
    my $page = $sale->press('/premium/a.html');
    my $id   = PWK::Sale::id($page);
    $client->forget('payway');
    log_in($client, $login) if $sim->logout_account($account);
    $sim->clear_requests;
    my $answer = $sale->authorize($page);
    is $answer->status, 404, 'it is not the other account\'s purchase';
    is calls('place_order'), 0, 'nothing is placed';
    is charges($_), 0, 'nobody is charged' for $account, $second;

    # At SSO2 alone: this browser's cookie still names the first.
    my ($third, $browser, $owner) = buyer();
    my $theirs = $third->press('/premium/a.html');
    flush_cache();
    my ($session) = grep { ($_->{account} // '') eq $owner } @{$sim->books->{sessions}};
    $sim->session($session->{sid}, {status => 'loggedin', account => $second});
    my $end = $third->authorize($theirs);
    is $end->status, 403, 'somebody else is logged in by now';
    like $end->body, qr/data-error="other_account"/, 'it says so';
    is charges($_), 0, 'nobody is charged' for $owner, $second;
};

subtest 'an approval is not lost' => sub {
    $server->allow_log(qr/PWK0030/);
    my %trouble = (
        'SSO2 away'       => {role => 'sso', kind => 'status', status => 503},
        'products broken' => {role => 'api', path => '/external/api/v1/me/active_products', kind => 'status', status => 503},
    );
    for my $name (sort keys %trouble) {
        my ($sale, $client, $account) = buyer();
        my $page  = $sale->press('/premium/a.html');
        my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
        flush_cache();
        $sim->fault(%{$trouble{$name}});
        my $end = $client->follow($sale->authorize($page, token => $token));
        $sim->clear_faults;
        is charges($account), 0, "$name: nothing is placed on a guess";
        my $again = $client->get($page->url);
        is PWK::Sale::field($again, 'klarna_authorization_token'), $token, "$name: the approval waits on the page";
        like $client->follow($sale->authorize($again, token => $token))->url, qr{/payway/confirm/}, "$name: bought with it";
        is charges($account), 1, "$name: charged once";
        is PWK::Sale::field($client->get($page->url), 'klarna_authorization_token') // '', '', "$name: and it is gone";
    }
};

subtest 'a token that Payway does not take any more' => sub {
    my ($sale, $client, $account) = buyer();
    my $page  = $sale->press('/premium/a.html');
    my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
    ok $sim->expire(kind => 'access', account => $account), 'revoked behind our back';
    like $client->follow($sale->authorize($page, token => $token))->url, qr{/payway/confirm/}, 'is replaced, and the order placed';
    is charges($account), 1, 'charged once';
};

subtest 'one at a time' => sub {
    my ($sale, $client, $account) = buyer();
    my $web   = $sale->press('/premium/a.html');
    my $paper = $sale->press('/paper/a.html', 'paper');
    isnt PWK::Sale::id($web), PWK::Sale::id($paper), 'two offers, two pages';
    $sim->shape(products_delay => 3600);
    my $first = $sale->authorize($web);
    like $first->location, qr{/redirect/}, 'one is placed';
    $sim->clear_requests;
    my $second = $sale->authorize($paper);
    is $second->location, $first->location, 'the other is answered with the one that runs';
    is calls('place_order'), 0, 'and not sent';
    like $client->follow($sale->buy('/paper/a.html', 'paper'))->url, qr{/payway/confirm/@{[PWK::Sale::id($web)]}}, 'pressing buy leads there too';
    $sim->shape(products_delay => 0);
    my $third = $client->follow($sale->buy('/paper/a.html', 'paper'));
    like $third->url, qr{/payway/purchase/}, 'once Payway shows the first, another can be bought';
    like $client->follow($sale->authorize($third))->url, qr{/payway/confirm/}, 'and is';
    is charges($account), 2, 'two things, two charges';
};

subtest 'plain http: the page does not appear' => sub {
    my ($sim, $server) = paywall(sells => 1, start => 0);
    $server->vars(URL => 'https://www.example.se');
    $sim->client($PWK::Test::CLIENT, {redirect_uri => 'https://www.example.se/payway/landing'});
    $server->start;
    my $client = PWK::Client->new(base => $server->url);
    my $answer = $client->get('/payway/purchase/' . 'a' x 32, Host => 'www.example.se');
    like $answer->location, qr{\Ahttps://www\.example\.se/payway/login}, 'a browser without the __Host- cookie goes to https';
    $answer = $client->get('/payway/purchase/' . 'a' x 32);
    like $answer->location, qr{\Ahttps://www\.example\.se/payway/purchase}, 'and so does one on another name';
};

done_testing;
