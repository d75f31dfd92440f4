#!/usr/bin/perl

# What a publisher changes between two steps of a purchase: keys, offers, settings, prices, the ledger. What was begun goes on as
# it was sold, or ends honestly; nothing is ordered twice, and nothing is lost.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Sale ();
use PWK::Test;
use Time::HiRes qw(sleep time);

my $API  = '/external/api/v1/klarna_payments';
my $MORE = <<'END';
        PaywayTimeout      2s 1s
        PaywayOrderTimeout 2s
        <Location /raise>
            AuthType Payway
            Require  payway-product example_web
            PaywayRaiseOnSsnAlreadySetError On
            PaywayMerchantReference "title-a"
        </Location>
END
my ($sim, $server) = paywall(sells => 1, directives => $MORE);
$server->file('docroot/raise/a.html', "SENTINEL-RAISE\n");
my @as_it_was = @{$server->{vhosts}};
my $n = 0;

sub buyer () {
    my %login  = (email => 'buyer' . ++$n . '@example.se', password => PWK::Server::random_text(9));
    my $id     = $sim->new_account({%login, organisation => $PWK::Test::ORGANISATION})->{id};
    my $client = PWK::Client->new(base => $server->url);
    log_in($client, \%login);
    return (PWK::Sale->new(sim => $sim, client => $client), $client, $id, \%login);
}
# The virtual host with one thing exchanged, from now on.
sub change ($from, $to) {
    $server->vhosts(map { {%$_, config => $_->{config} =~ s/$from/$to/r} } @as_it_was);
    $server->restart;
}
sub as_it_was () { $server->vhosts(@as_it_was); $server->restart }
sub charges ($account) { return scalar grep { $_->{account} eq $account } $sim->charges }
sub orders () { return map { $_->{json} } grep { $_->{path} =~ m{\A$API/place} } $sim->requests(role => 'api', method => 'POST') }
sub error_of ($page) { return $page->body =~ /data-error="(\w+)"/ ? $1 : '' }

sub until_ok ($condition, $name, $seconds = 15) {
    my $end = time + $seconds;
    until ($condition->()) {
        return fail $name if time > $end;
        sleep 0.1;
    }
    return pass $name;
}

subtest 'settings and offers of the wall that sold it hold to the end' => sub {
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/raise/a.html');
    $sim->clear_requests;
    change(qr/PaywayRaiseOnSsnAlreadySetError On\n\s*PaywayMerchantReference "title-a"/, 'PaywayMerchantReference "title-b"');
    like $client->follow($sale->authorize($page))->url, qr{/payway/confirm/}, 'bought';
    my ($order) = orders();
    is $order->{raise_on_ssn_already_set_error}, JSON::PP::true, 'the flag is that of the wall';
    like $order->{merchant_reference}, qr/\A[0-9a-f]{32}_title-a\z/, 'and so is the reference';
    is charges($account), 1, 'charged once';
    as_it_was();
};

subtest 'the offer is gone' => sub {
    my ($sale, $client, $account) = buyer();
    my $wall = $client->follow($client->navigate('/premium/a.html'));
    my $page = $sale->press($wall);
    change(qr/PaywayOffer\s+digital [^\n]*/, "PaywayOffer other code=example_digital period=$PWK::Test::PERIOD products=example_web");
    is error_of($sale->press($wall)), 'bad_request', 'who presses on the old wall is told so';
    like $client->follow($sale->authorize($page))->url, qr{/payway/confirm/}, 'who has begun ends it as it was sold';
    is charges($account), 1, 'charged once';
    is $client->get('/premium/a.html')->status, 200, 'reads';
    as_it_was();
};

subtest 'a key is rotated as the documentation says' => sub {
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    my $old  = PWK::Server::slurp($server->path('secrets/key'));
    $server->secret(old => $old);
    $server->secret(key => PWK::Server::random_text());
    change(qr/PaywayCryptoKey\s+(\S+)/, 'PaywayCryptoKey file:@SECRET:key@ file:@SECRET:old@');
    like $client->follow($sale->authorize($page))->url, qr{/payway/confirm/}, 'between page and order: bought';
    is charges($account), 1, 'charged once';
    is $client->get('/premium/a.html')->status, 200, 'reads';
    $server->secret(key => $old);
    as_it_was();
};

subtest 'a key is exchanged without the old one' => sub {
    my ($sale, $client, $account, $login) = buyer();
    my $page = $sale->press('/premium/a.html');
    my ($lost, $browser, $charged, $again) = buyer();
    my $wait = $lost->press('/premium/a.html');
    $server->expect_log(qr/PWK0152/);
    $sim->shape(orders_delay => 3600, products_delay => 3600);
    $sim->fault(role => 'api', path => "$API/place_order", times => 1, kind => 'cut_after');
    $lost->authorize($wait);
    my $old = PWK::Server::slurp($server->path('secrets/key'));
    $server->secret(key => PWK::Server::random_text());
    $server->restart;
    my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
    $sim->clear_requests;
    my $there = $client->follow($sale->authorize($page, token => $token));
    is error_of($there), 'session_expired', 'recognised by SSO2 again, the reader is told that nothing was ordered';
    is scalar(my @none = orders()), 0, 'nor was it';
    my $anew = PWK::Client->new(base => $server->url);
    log_in($anew, $login);
    is error_of($anew->follow($anew->navigate($page->url))), 'session_expired', 'in another browser too';
    my $second = PWK::Sale->new(sim => $sim, client => $anew);
    like $second->whole('/premium/a.html')->url, qr{/payway/confirm/}, 'and another press buys';
    is charges($account), 1, 'charged once';
    # What was lost under the old key is found out under the new one.
    $sim->shape(orders_delay => 0, products_delay => 0);
    my $elsewhere = PWK::Client->new(base => $server->url);
    log_in($elsewhere, $again);
    my $id = PWK::Sale::id($wait);
    until_ok(sub { PWK::Sale->new(sim => $sim, client => $elsewhere)->state($id)->{state} =~ /placed|confirmed/ }, 'a lost answer is found out all the same');
    like $elsewhere->follow($elsewhere->navigate("/payway/confirm/$id"))->body, qr/EXAMPLE-\d+/, 'and confirmed';
    is $elsewhere->get('/premium/a.html')->status, 200, 'that reader reads';
    is charges($charged), 1, 'charged once';
    $server->secret(key => $old);
    $server->restart;
};

subtest 'the ledger is taken away, and given back' => sub {
    my ($sale, $client, $account) = buyer();
    my $page = $sale->press('/premium/a.html');
    my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
    change(qr/PaywayLedger[^\n]*/, '');
    $sim->clear_requests;
    is $sale->authorize($page, token => $token)->status, 404, 'without a ledger there is no such purchase';
    is scalar(my @none = orders()), 0, 'and nothing is ordered';
    as_it_was();
    until_ok(sub { $sale->state(PWK::Sale::id($page))->{state} eq 'created' }, 'given back: it is there again');
    like $client->follow($sale->authorize($page, token => $token))->url, qr{/payway/confirm/}, 'and is bought';
    is charges($account), 1, 'charged once';
};

done_testing;
