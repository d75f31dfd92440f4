#!/usr/bin/perl

# A thousand posts of one authorization at once, over several children; and two hundred tabs of one account, each with another
# purchase. One order goes out, one charge is made, and every answer leads to the same order.

use v5.36;
use FindBin;
use lib "$FindBin::Bin/lib";
use PWK::Sale    ();
use PWK::Test;
use PWK::Workers ();

my ($POSTS, $TABS, $WORKERS) = (1000, 200, 4);
my ($OFFERS, $PERIODS)       = (20, 10);
my $PLACE = '/external/api/v1/klarna_payments/place';

sub name_of ($offer) { return sprintf 'offer%02d', $offer }
sub period_of ($offer, $period) { return sprintf '5f0d9ea795cfebfb8544%02d%02d', $offer, $period }

# Every offer gives the same product, and has many periods.
sub shop ($mpm) {
    my @packages = map {
        my $offer = $_;
        +{code => 'package_' . name_of($offer), organisation => $PWK::Test::ORGANISATION, name => "Paket $offer", products => ['example_web'],
            periods => [map { {id => period_of($offer, $_), price => 100 + $_} } 1 .. $PERIODS]}
    } 1 .. $OFFERS;
    my $offers = join '', map { "PaywayOffer $_ code=package_$_ products=example_web\n" } map { name_of($_) } 1 .. $OFFERS;
    my $vhost  = PWK::Test::standard_vhost() =~ s/^\s*PaywayOffer\s.*\n//mr;
    my ($sim, $server) = paywall(
        sells => 1, mpm => $mpm, vhost => $vhost, seed => {packages => \@packages},
        directives => $offers . "PaywayTimeout 20s\nPaywayOrderTimeout 30s\n",
        config     => "ListenBacklog 2048\n" . ($mpm eq 'prefork' ? "StartServers 8\n" : "StartServers 4\nMinSpareThreads 48\nMaxSpareThreads 128\nMaxRequestWorkers 128\n")
            . qq(CustomLog logs/children "%P %m %U"\n),
    );
    return ($sim, $server);
}

sub buyer ($sim, $server, $who) {
    my %login   = (email => "$who\@example.se", password => PWK::Server::random_text(9));
    my $account = $sim->new_account({%login, organisation => $PWK::Test::ORGANISATION})->{id};
    my $client  = PWK::Client->new(base => $server->url, timeout => 60, keep_alive => 1);
    log_in($client, \%login);
    return (PWK::Sale->new(sim => $sim, client => $client), $account);
}

# Sends posts from several processes at once. Returns what came: how often each answer, and from how many.
sub at_once ($client, @posts) {
    my @share;
    push @{$share[$_ % $WORKERS]}, $posts[$_] for 0 .. $#posts;
    my $workers = PWK::Workers->start($WORKERS, sub ($mine) {
        return [map { ref $_ ? $_->status . ' ' . ($_->location // '') : "nothing: $_" } $client->together(@$mine)];
    });
    my %count;
    $workers->run(\@share, sub ($answers) { $count{$_}++ for @$answers });
    $workers->stop;
    return %count;
}

# Kinds of answers: those that say how the purchase of `$id` stands.
sub kind_of ($answer, $klarna, $id) {
    return 'to Klarna'           if $answer =~ m{\A303 \Q$klarna\E/};
    return 'to the confirmation' if $answer =~ m{\A303 \S+/payway/confirm/$id\z};
    return 'to the page'         if $answer =~ m{\A303 \S+/payway/purchase/$id\z};
    return $answer;
}

my $threads = ($ENV{PWK_MPM} // 'event') eq 'prefork' ? 'prefork' : 'event';
for my $mpm ($threads, $threads eq 'event' ? 'prefork' : ()) {
    my ($sim, $server) = shop($mpm);
    my $charges = sub ($account) { grep { $_->{account} eq $account } $sim->charges };
    my $orders  = sub { grep { index($_->{path}, $PLACE) == 0 } $sim->requests(role => 'api', method => 'POST') };

    subtest "$mpm: $POSTS identical posts" => sub {
        my ($sale, $account) = buyer($sim, $server, "one-$mpm");
        my $page  = $sale->press('/premium/a.html', name_of(1), period => period_of(1, 1));
        my $id    = PWK::Sale::id($page);
        my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
        my $post  = $sale->client->form_request("/payway/authorize/$id", PWK::Sale::authorization($page, $token));
        # While the order is out many of the others come by.
        $sim->fault(role => 'api', path => $PLACE, kind => 'delay', seconds => 0.5, times => 1);
        $sim->clear_requests;
        my %answers = at_once($sale->client, map {$post} 1 .. $POSTS);
        my %kinds;
        $kinds{kind_of($_, $sim->klarna, $id)} += $answers{$_} for keys %answers;
        note "$_: $kinds{$_}" for sort keys %kinds;
        my $in_kind = 0;
        $in_kind += delete $kinds{$_} // 0 for 'to Klarna', 'to the confirmation', 'to the page';
        is $in_kind, $POSTS, 'each is led to Klarna, to the confirmation, or to the page that waits';
        is_deeply \%kinds, {}, 'and nowhere else, and none meets an error';
        is scalar(my @one = $orders->()), 1, 'one order was sent';
        is scalar(my @charged = $charges->($account)), 1, 'one charge was made';
        my ($order) = map { $_->{order_id} } $charges->($account);
        for my $to (map { (split / /)[1] } grep { !/\A303 \Q@{[$sim->klarna]}\E/ } sort keys %answers) {
            like $sale->client->follow($sale->client->navigate($to))->body, qr/\b\Q$order\E\b/, 'wherever it was led, there is that order in the end';
        }
        cmp_ok scalar(grep { index($_, '303 ' . $sim->klarna) == 0 } keys %answers), '<=', 1, 'and one redirect of Klarna';
        is $sale->client->get('/premium/a.html')->status, 200, 'the reader reads';
    };

    subtest "$mpm: $TABS tabs of one account, each with another purchase" => sub {
        my ($sale, $account) = buyer($sim, $server, "tabs-$mpm");
        my (@posts, %id);
        my $wall = $sale->client->follow($sale->client->navigate('/premium/a.html'));
        for my $tab (0 .. $TABS - 1) {
            my ($offer, $period) = (1 + int $tab / $PERIODS, 1 + $tab % $PERIODS);
            my $page  = $sale->press($wall, name_of($offer), period => period_of($offer, $period));
            my $token = $sim->authorize(PWK::Sale::session($page), category => 'pay_now');
            $id{PWK::Sale::id($page)}++;
            push @posts, $sale->client->form_request('/payway/authorize/' . PWK::Sale::id($page), PWK::Sale::authorization($page, $token));
        }
        is scalar(keys %id), $TABS, 'as many purchases';
        $sim->fault(role => 'api', path => $PLACE, kind => 'delay', seconds => 0.5, times => 1);
        $sim->clear_requests;
        my %answers = at_once($sale->client, @posts);
        is scalar(my @one = $orders->()), 1, 'one order was sent';
        my @charged = $charges->($account);
        is scalar @charged, 1, 'one charge was made';
        my $bought = $charged[0]{merchant_reference};
        my %kinds;
        for my $answer (keys %answers) {
            my $kind = kind_of($answer, $sim->klarna, $bought);
            $kind = 'to a page that says it is owned' if $kind =~ m{/payway/purchase/([0-9a-f]{32})\z} && $id{$1};
            $kinds{$kind} += $answers{$answer};
        }
        note "$_: $kinds{$_}" for sort keys %kinds;
        my $in_kind = 0;
        $in_kind += delete $kinds{$_} // 0 for 'to Klarna', 'to the confirmation', 'to the page', 'to a page that says it is owned';
        is $in_kind, $TABS, 'each is led to the one that is bought, or to its own page';
        is_deeply \%kinds, {}, 'and nowhere else, and none meets an error';
        my @own = grep { $_ ne $bought } map { m{/payway/purchase/(\w+)} ? $1 : () } keys %answers;
        my $says = sub ($id) { $sale->client->follow($sale->client->navigate("/payway/purchase/$id"))->body =~ /data-error="already_owned"/ };
        is_deeply [grep { !$says->($_) } @own], [], "a tab's own page says that it is owned";
        is $sale->client->get('/premium/a.html')->status, 200, 'the reader reads';
    };
    $server->stop;
    my %served;
    for my $line (split /\n/, PWK::Server::slurp($server->path('logs/children'))) { $served{$1}++ if $line =~ m{\A(\d+) POST /payway/authorize/} }
    cmp_ok scalar(keys %served), '>=', 4, "$mpm: at least four children served them";
    note join ' ', map {"child $_: $served{$_}"} sort keys %served;
    $sim->stop;
}

done_testing;
