package PWK::Browser;

# Runs a browser test: the site of t/site behind a paywall, and the .cjs file that drives Chromium through it and prints
# TAP. Screenshots are left in PWK_SCREENSHOTS (t/browser/screenshots) to be looked at.
#
#     PWK::Browser::run('read', directives => "...", people => {subscriber => ['example_web'], stranger => []});

use v5.36;
use utf8;
use JSON::PP       ();
use PWK::Server    ();
use PWK::Sim       ();
use PWK::Test      ();

# The options of a test that buys: one thing at most walls, a trial and a later start at one each. Its people are made by
# sale.cjs, one for each purchase.
our %SHOP = (
    sells      => 1,
    people     => {},
    directives => <<~"MORE",
        PaywayOffer trial code=example_trial period=5f0d9ea795cfebfb8544ab20 trial=on products=example_web "price=129 kr per månad" "price.en=SEK 129 per month"
        PaywayOffer later code=example_digital period=$PWK::Test::PERIOD products=example_web start=+3d
        <Location /premium>
            PaywayOffers digital
        </Location>
        <Location /premium/koren.html>
            PaywayOffers trial digital
        </Location>
        <Location /premium/vindkraften.html>
            PaywayOffers later
        </Location>
        MORE
    campaigns => [{
        code => 'example_trial', organisation => $PWK::Test::ORGANISATION, name => 'Prova Norrposten', trial => 1, products => ['example_web'],
        description => 'Alla artiklar i en månad.',
        periods => [{
            id => '5f0d9ea795cfebfb8544ab20', type => 'recurring', enabled => 1, iteration_type => 'month', iteration_length => 1, price => 0,
            payment_method => 'klarna_payments',
        }],
    }],
);

# people: name => products; 'inactive' is an account that was never activated. directives: more, in the virtual host.
# sells => 1: with Klarna Payments. campaigns: more than the one package, as the simulator's seed has them.
# expect: patterns of error_log lines that will come.
sub run ($name, %option) {
    my $node = $ENV{PWK_NODE} // 'node';
    my %person = map {
        ($_ => {email => "$_\@example.se", password => PWK::Server::random_text(9)})
    } keys %{$option{people}};
    my $period = {
        id => $PWK::Test::PERIOD, type => 'recurring', enabled => 1, iteration_type => 'month', iteration_length => 1, price => 129,
        payment_method => 'klarna_payments',
    };
    my ($sim, $server) = PWK::Test::paywall(
        docroot    => "$PWK::Server::SRCDIR/t/site",
        pages      => ["$PWK::Server::SRCDIR/conf/pages", "$PWK::Server::SRCDIR/t/site-pages"],
        directives => $option{directives} // '',
        sells      => $option{sells} // 0,
        seed       => {
            accounts => [map {
                {
                    %{$person{$_}}, organisation => $PWK::Test::ORGANISATION, first_name => 'Test', last_name => 'Testsson',
                    products => $option{people}{$_}, status => $_ eq 'inactive' ? 'not_active' : 'active',
                }
            } sort keys %person],
            packages => [{
                code => 'example_digital', organisation => $PWK::Test::ORGANISATION, name => 'Norrposten Digital',
                description => 'Alla artiklar, på webben och i mobilen.', products => ['example_web'], periods => [$period],
            }],
            campaigns => $option{campaigns} // [],
        },
    );
    $server->expect_log(@{$option{expect} // []});
    local $ENV{PWK_SITE} = JSON::PP->new->utf8->canonical->encode({url => $server->url, control => $sim->control, klarna => $sim->klarna,
        organisation => $PWK::Test::ORGANISATION, %person});
    local $ENV{PWK_SCREENSHOTS} = $ENV{PWK_SCREENSHOTS} // "$PWK::Server::BUILDDIR/t/browser/screenshots";
    my $failed = system($node, "$PWK::Server::SRCDIR/t/browser/$name.cjs");
    # The script's TAP is this test's. What the logs hold is said at the end: a failure there fails the test by its status.
    exit($failed ? 1 : 0);
}

1;
