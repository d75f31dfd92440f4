package PWK::Shop;

# A paywall that sells sixteen products by two offers each, with a proxy before the API: for tests of very many purchases. One
# account buys one product after another, so that hardly anything is spent on logging in.
#
#     my $shop  = PWK::Shop->open(directives => "PaywayOrderTimeout 2s\n");
#     my $buyer = $shop->buyer;
#     my $page  = $shop->page($buyer, 'a');    # the purchase page of the buyer's next product, by its first offer
#
# A buyer is plain data, and so goes from one process to another: {account, jar, next}.

use v5.36;
use PWK::Client  ();
use PWK::Proxy   ();
use PWK::Sale    ();
use PWK::Server  ();
use PWK::Test    ();

use constant PRODUCTS => 16;

my @NAMES = map { sprintf '%02d', $_ } 1 .. PRODUCTS;

# Options are those of PWK::Test::paywall.
sub open ($class, %option) {
    my @packages = map {
        my $number = $_;
        map { +{code => "shop_$_$number", organisation => $PWK::Test::ORGANISATION, name => "Vara $number", products => ["product_$number"],
            periods => [{id => sprintf('5f0d9ea795cfebfb85%s%s', ($_ eq 'a' ? '4400' : '4500'), $number), price => 149}]} } qw(a b);
    } @NAMES;
    my $directives = join '', map {
        my $number = $_;
        (map {"PaywayOffer $_$number code=shop_$_$number products=product_$number\n"} qw(a b)),
            "<Location /$number>\nAuthType Payway\nRequire payway-product product_$number\nPaywayOffers a$number b$number\n</Location>\n";
    } @NAMES;
    my $vhost = PWK::Test::standard_vhost() =~ s/^\s*PaywayOffer\s.*\n|^\s*<Location.*?<\/Location>\n//msgr;
    my ($sim, $server) = PWK::Test::paywall(
        sells => 1, start => 0, docroot => {'index.html' => "free\n", map { ("$_/a.html" => "SENTINEL-$_\n") } @NAMES},
        %option, vhost => $vhost, seed => {packages => \@packages}, directives => $directives . ($option{directives} // ''),
    );
    my $proxy = PWK::Proxy->start($sim->api);
    $server->vars(API => $proxy->url);
    $server->start;
    return bless {sim => $sim, server => $server, proxy => $proxy, made => 0}, $class;
}

sub sim ($self)    { return $self->{sim} }
sub server ($self) { return $self->{server} }
sub proxy ($self)  { return $self->{proxy} }

# A new account, logged in.
sub buyer ($self) {
    my %login   = (email => "buyer-$$-@{[++$self->{made}]}\@example.se", password => PWK::Server::random_text(9));
    my $account = $self->sim->new_account({%login, organisation => $PWK::Test::ORGANISATION})->{id};
    my $client  = PWK::Client->new(base => $self->server->url);
    PWK::Test::log_in($client, \%login, '/payway/login?r=%2F');
    return {account => $account, jar => [$client->jar], next => 0};
}

# The browser of a buyer; what it is given stays with the buyer.
sub browser ($self, $buyer) {
    return $self->{browsers}{$buyer->{account}} //=
        PWK::Client->new(base => $self->server->url, keep_alive => 1, jar => $buyer->{jar});
}

# … which is put away when the buyer leaves this process.
sub leave ($self, $buyer) {
    my $client = delete $self->{browsers}{$buyer->{account}};
    $buyer->{jar} = [$client->jar] if $client;
    return $buyer;
}

sub path ($self, $buyer) { return "/$NAMES[$buyer->{next}]/a.html" }

# Whether there is something left that the buyer has not bought.
sub may_buy ($self, $buyer) { return $buyer->{next} < PRODUCTS }

sub sale ($self, $buyer) { return PWK::Sale->new(sim => $self->sim, client => $self->browser($buyer)) }

# From the wall of the next product to the purchase page of an offer; `wall` where it is at hand.
sub page ($self, $buyer, $which, $wall = undef) {
    return $self->sale($buyer)->press($wall // $self->path($buyer), "$which$NAMES[$buyer->{next}]");
}

sub wall ($self, $buyer) { return $self->browser($buyer)->navigate($self->path($buyer)) }

# Klarna's authorization for the purchase on `page`, and the form that posts it.
sub approve ($self, $page) { return $self->sim->authorize(PWK::Sale::session($page), category => 'pay_now') }

# The ledger's rows, by statements of SQL; and time, which a test lets pass by changing them.
sub sql ($self, $statement) {
    CORE::open(my $out, '-|', 'sqlite3', '-cmd', '.timeout 10000', $self->server->path('run/ledger.db'), $statement) or die "sqlite3: $!\n";
    my @rows = map { chomp; [split /\|/, $_, -1] } <$out>;
    close $out or die "sqlite3 failed: $statement\n";
    return @rows;
}

# So many minutes go by for what is under way; it is due to be looked at then. Readings count when they lie a quarter of an hour apart.
sub pass_minutes ($self, $minutes) {
    my $seconds = 60 * $minutes;
    my $earlier = join ', ', map {"$_ = $_ - $seconds"} qw(claimed changed due looked grant_from grant_until);
    # The first of the two is what the index of running purchases says: so it is used.
    $self->sql("UPDATE payway_purchase SET $earlier, next_look = 1 WHERE state IN ('placing', 'unknown', 'manual', 'placed')"
        . " AND state IN ('placing', 'unknown')");
}

1;
