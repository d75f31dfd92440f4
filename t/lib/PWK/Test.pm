package PWK::Test;

# What a test file begins with: Test::More, and a paywall to try.
#
#     use FindBin;
#     use lib "$FindBin::Bin/lib";
#     use PWK::Test;
#
#     my ($sim, $server, $client) = paywall();
#     is $client->get('/premium/a.html')->status, 402, 'a stranger meets the wall';
#     done_testing;
#
# done_testing ends every server first, and one more test says that their logs held nothing unexpected.

use v5.36;
use Carp         qw(croak);
use Test::More   ();
use PWK::Client  ();
use PWK::Server  ();
use parent       qw(Exporter);

our @EXPORT = qw(done_testing log_in paywall standard_seed standard_vhost);

# Test::More's own words go on to the caller, with another done_testing.
sub import ($class) {
    Test::More->builder->exported_to(scalar caller);
    Test::More->export_to_level(1, $class, grep { $_ ne 'done_testing' } @Test::More::EXPORT);
    $class->export_to_level(1, $class, @EXPORT);
}

# Names of the standard paywall, where a test needs them.
our $ORGANISATION = 'example';
our $CLIENT       = '57221f1158ab4c0d93e7aa01';
our $PERIOD       = '5f0d9ea795cfebfb8544ab12';
our @SCOPES       = map {"/external/$_"} qw(me/w account/r product/r klarna_payments/r klarna_payments/w order/r);

# The accounts of the standard seed; passwords are made for each run.
our %ACCOUNT = (
    subscriber => {id => '5a0000000000000000000001', email => 'prenumerant@example.se', products => ['example_web']},
    other      => {id => '5a0000000000000000000002', email => 'annan@example.se',       products => ['example_paper']},
    empty      => {id => '5a0000000000000000000003', email => 'ny@example.se',          products => []},
);
$_->{password} = PWK::Server::random_text(12) for values %ACCOUNT;

# What the simulator knows: one organisation, our API user, the accounts above, one package with a monthly period.
# Members given replace these.
sub standard_seed ($url, $secret, %members) {
    return {
        organisations => [{id => $ORGANISATION, name => 'Exempel'}],
        clients       => [{
            id => $CLIENT, secret => $secret, organisation => $ORGANISATION, scopes => [@SCOPES],
            redirect_uri => "$url/payway/landing", sso2 => 1,
        }],
        accounts => [map { {%$_, organisation => $ORGANISATION, first_name => 'Test', last_name => 'Testsson'} }
            @ACCOUNT{sort keys %ACCOUNT}],
        packages => [{
            code => 'example_digital', organisation => $ORGANISATION, name => 'Exempel Digital',
            description => 'Allt på webben', products => ['example_web'],
            periods => [{
                id => $PERIOD, type => 'recurring', enabled => 1, iteration_type => 'month', iteration_length => 1,
                price => 149, payment_method => 'klarna_payments',
            }],
        }],
        %members,
    };
}

# The directives of that paywall; what a test adds comes last.
sub standard_vhost ($more = '') {
    return <<~"CONFIG" . $more;
            PaywayAPI           \@API\@
            PaywaySSO           \@SSO\@
            PaywayPortal        \@PORTAL\@
            PaywayBaseURL       \@URL\@
            PaywayOrganisation  $ORGANISATION
            PaywayClient        $CLIENT file:\@SECRET:client\@
            PaywayCryptoKey     file:\@SECRET:key\@
            PaywayPages         \@PAGES\@
            PaywayOffer         digital code=example_digital period=$PERIOD products=example_web

            <Location /premium>
                AuthType        Payway
                Require         payway-product example_web
            </Location>
        CONFIG
}

# … and those of one that sells with Klarna Payments.
our $SELLS = <<~'CONFIG';
        PaywayLedger        sqlite3 @RUN@/ledger.db
        PaywayKlarnaSDK     @KLARNA@/kp/lib/v1/api.js
        PaywayRedirectHosts @KLARNA_HOST@
        PaywayTermsURL      @URL@/villkor.html
        PaywayPrivacyURL    @URL@/integritet.html
        PaywayWithdrawalURL @URL@/angra.html
    CONFIG

my %DOCROOT = (
    'index.html'     => "<h1>Free</h1>\n",
    'premium/a.html' => "<h1>Paid</h1>\n<p>SENTINEL-A</p>\n",
    'premium/b.html' => "<h1>Paid</h1>\n<p>SENTINEL-B</p>\n",
);

# A simulator and a server with one virtual host that stands before it: ($sim, $server, $client). directives: more of
# them, in the virtual host. sells => 1: with a ledger, and the simulator's Klarna. vhost: instead of the standard ones. config: at server level. seed: members of the seed.
# start => 0 does not start the server. Further options are PWK::Server's.
sub paywall (%option) {
    require PWK::Sim;
    my $secret     = PWK::Server::random_text();
    my $vhost      = delete $option{vhost} // standard_vhost();
    my $directives = (delete $option{sells} ? $SELLS : '') . (delete $option{directives} // '');
    my $seed       = delete $option{seed} // {};
    my $start      = delete $option{start} // 1;
    my $config     = delete $option{config} // '';
    my $docroot    = delete $option{docroot} // \%DOCROOT;

    my $server = PWK::Server->new(
        docroot => $docroot,
        config  => "PaywayCache shmcb:\@RUN\@/payway(1048576)\n$config",
        vhosts  => [{config => "$vhost\n$directives"}],
        %option,
        secrets => {key => undef, client => $secret, %{$option{secrets} // {}}},
    );
    my $sim = PWK::Sim->start(
        seed => standard_seed($server->url, $secret, ref $seed eq 'CODE' ? $seed->($server, $secret) : %$seed),
        log  => $server->path('logs/simulator'),
    );
    $server->vars(API => $sim->api, SSO => $sim->sso, PORTAL => $sim->portal, KLARNA => $sim->klarna,
        KLARNA_HOST => $sim->klarna =~ s{\Ahttp://}{}r);
    $server->{sim} = $sim;    # which lives as long: the server asks by itself, too
    $server->start if $start;
    return ($sim, $server, PWK::Client->new(base => $server->url));
}

# Logs the client in as a person would: `$path` leads to the portal's form, and the form is sent. `$who` is a name of
# %ACCOUNT or {email, password}. Returns the answer on which the reader comes to rest.
sub log_in ($client, $who = 'subscriber', $path = '/payway/login?r=%2Fpremium%2Fa.html') {
    my $account = ref $who ? $who : $ACCOUNT{$who} // croak "no account $who";
    my $form    = $client->follow($client->navigate($path));
    croak 'no login form at ' . $form->url . ' (' . $form->status . ')' unless $form->body =~ /<form\b[^>]*>/i;
    my ($email)    = $form->body =~ /<input\b[^>]*\bname="([^"]*(?:mail|user)[^"]*)"/i;
    my ($password) = $form->body =~ /<input\b[^>]*\btype="password"[^>]*\bname="([^"]+)"/i;
    ($password) = $form->body =~ /<input\b[^>]*\bname="([^"]+)"[^>]*\btype="password"/i unless defined $password;
    my %field;
    for my $hidden ($form->body =~ /(<input\b[^>]*\btype="hidden"[^>]*>)/gi) {
        my ($name)  = $hidden =~ /\bname="([^"]+)"/  or next;
        my ($value) = $hidden =~ /\bvalue="([^"]*)"/ or next;
        $field{$name} = unescape($value);
    }
    my ($action) = $form->body =~ /<form\b[^>]*\baction="([^"]*)"/i;
    my $to = !defined $action || $action eq '' ? $form->url : unescape($action);
    $to = ($form->url =~ m{\A(https?://[^/]+)})[0] . $to if $to =~ m{\A/};
    return $client->follow($client->post_form($to, {%field, $email => $account->{email}, $password => $account->{password}}));
}

# Entities of an attribute.
sub unescape ($text) {
    my %entity = (amp => '&', lt => '<', gt => '>', quot => '"', '#39' => q{'}, '#x27' => q{'});
    return $text =~ s/&(amp|lt|gt|quot|#39|#x27);/$entity{$1}/gr;
}

sub done_testing (@count) {
    for my $server (sort { $a->port <=> $b->port } PWK::Server->live) {
        my @failures = $server->verdict;
        Test::More::ok(!@failures, 'nothing unexpected in the error_log') or Test::More::diag(@failures ? map {"$_\n"} @failures : ());
        $server->remove;
    }
    Test::More::done_testing(@count);
}

1;
