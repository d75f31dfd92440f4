package PWK::Crash;

# A paywall that can be killed at a point of a sale, made to stand there, shown files that fail and a clock that is wrong
# (t/points); and what of a purchase is written down on three sides: the simulator's books, the ledger, and the reader's pages.
#
#     my $crash = PWK::Crash->new;
#     my $case  = $crash->buyer;                       # an account, logged in, on its purchase page
#     $crash->order('point P4 - kill 0');
#     $crash->begin($case);                            # the form is sent, and no answer waited for
#     $crash->wait_until_ordered;                      # the child has died
#     is $crash->charges($case), 0;

use v5.36;
use Carp        qw(croak);
use PWK::Client ();
use PWK::Sale   ();
use PWK::Server ();
use PWK::Test   ();
use Time::HiRes qw(sleep time);

our $API    = '/external/api/v1/klarna_payments';
our $POINTS = $ENV{PWK_MODULE_POINTS} // "$PWK::Server::BUILDDIR/t/points/.libs/mod_payway_klarna.so";
our $SHIM   = $ENV{PWK_SHIM} // "$PWK::Server::BUILDDIR/t/points/.libs/shim.so";

# Two virtual hosts of one organisation, each with an API user of its own, on one ledger. Options are PWK::Test::paywall's;
# ledger: another place of it.
sub new ($class, %option) {
    my $port   = PWK::Server::free_port();
    my $second = PWK::Server::random_text();
    my $ledger = delete $option{ledger} // '@RUN@/ledger.db';
    my $more   = <<~'MORE';
        PaywayTimeout      2s 1s
        PaywayOrderTimeout 2s
        MORE
    my $sells = $PWK::Test::SELLS =~ s/\@RUN\@\/ledger\.db/$ledger/r;
    my $one   = PWK::Test::standard_vhost($sells . $more . (delete $option{directives} // ''));
    my $two   = $one =~ s/\@URL\@/\@URL2\@/gr =~ s/PaywayClient .*/PaywayClient client-two file:\@SECRET:second\@/r;
    my ($sim, $server) = PWK::Test::paywall(
        module      => $POINTS,
        preload     => [$SHIM],
        environment => {PWK_ORDERS => '@RUN@/orders', PWK_CLOCK => '@RUN@/clock'},
        files       => {'run/clock' => pack 'q', 0},
        secrets     => {second => $second},
        %option,
        start => 0,
        seed  => sub ($server, $secret) {
            my %client = (organisation => $PWK::Test::ORGANISATION, scopes => [@PWK::Test::SCOPES], sso2 => 1);
            return (clients => [
                {%client, id => $PWK::Test::CLIENT, secret => $secret, redirect_uri => $server->url . '/payway/landing'},
                {%client, id => 'client-two', secret => $second, redirect_uri => "http://127.0.0.1:$port/payway/landing"},
            ]);
        },
    );
    $server->vars(URL2 => "http://127.0.0.1:$port");
    $server->vhosts({config => $one}, {config => $two, port => $port});
    $server->start;
    return bless {sim => $sim, server => $server, url2 => "http://127.0.0.1:$port", ledger => $ledger =~ s/\@RUN\@/$server->path('run')/er,
        buyers => 0}, $class;
}

sub sim ($self)    { return $self->{sim} }
sub server ($self) { return $self->{server} }

# -- orders and the clock

# Replaces what is ordered: lines of t/points/orders.h.
sub order ($self, @lines) {
    my $path = $self->server->path('run/orders');
    unlink "$path.log";
    $self->server->file('run/orders.new', join '', map {"$_\n"} @lines);
    rename "$path.new", $path or croak "$path: $!";
    return $self;
}

sub clear ($self) { unlink $self->server->path('run/orders'); return $self }

# The points and calls that were come to since the last order.
sub arrived ($self) { return map { (split)[0] } split /\n/, PWK::Server::slurp($self->server->path('run/orders.log')) }

# Returns when `$count` stand at the point, or when what kills was carried out.
sub wait_until_arrived ($self, $count = 1) {
    $self->wait_for(sub { $self->arrived >= $count }, "$count to arrive");
    return $self;
}
sub wait_until_ordered ($self) {
    $self->wait_for(sub { !-e $self->server->path('run/orders') }, 'an order to be carried out');
    return $self;
}

# Seconds by which the time of day of httpd is ahead, and that of SSO2: as if that long had passed.
sub clock ($self, $seconds, $sso2 = $seconds) {
    $self->sim->shape(clock_skew => $sso2);
    open my $out, '+<:raw', $self->server->path('run/clock') or croak "clock: $!";
    syswrite $out, pack 'q', $seconds;
    return $self;
}

sub wait_for ($self, $condition, $what, $seconds = 20) {
    my $end = time + $seconds;
    until ($condition->()) {
        croak "waited $seconds s in vain for $what" if time > $end;
        sleep 0.02;
    }
    return;
}

# -- processes

sub children ($self) { return split ' ', `pgrep -P @{[$self->server->pid]}` }

sub kill_children ($self) {
    kill KILL => $self->children;
    return $self->wait_for_child;
}

# Whoever connects while there is no child waits for one.
sub wait_for_child ($self) {
    $self->wait_for(sub { eval { PWK::Client->new(base => $self->server->url)->get('/')->status == 200 } }, 'a child');
    return $self;
}

# -- buyers

sub login ($self, $case, $base = $self->server->url) {
    my $client = PWK::Client->new(base => $base);
    PWK::Test::log_in($client, $case);
    return PWK::Sale->new(sim => $self->sim, client => $client);
}

# An account of its own, a browser in which it is logged in, and the purchase page there, approved at Klarna.
sub buyer ($self, %case) {
    my $case = {%case, email => 'buyer' . ++$self->{buyers} . '@example.se', password => PWK::Server::random_text(9)};
    $case->{account} = $self->sim->new_account({email => $case->{email}, password => $case->{password},
        organisation => $PWK::Test::ORGANISATION})->{id};
    $case->{sale}  = $self->login($case);
    $case->{page}  = $case->{sale}->press('/premium/a.html');
    $case->{id}    = PWK::Sale::id($case->{page});
    $case->{token} = $self->approve($case->{page});
    return $case;
}

sub approve ($self, $page) { return $self->sim->authorize(PWK::Sale::session($page), category => 'pay_now') }

# Sends the form of the purchase page; the answer, if ever one comes, is taken by `answer`.
sub begin ($self, $case) {
    my $sender = bless {%{$case->{sale}->client}}, 'PWK::Crash::Sender';
    $sender->post_form("/payway/authorize/$case->{id}", PWK::Sale::authorization($case->{page}, $case->{token}));
    $case->{sent} = $sender->{sent};
    return $case;
}

# What came back: an answer, or nothing when the connection ended before it.
sub answer ($self, $case) {
    my $client = $case->{sale}->client;
    my $socket = delete $case->{sent} // croak 'nothing was sent';
    my $answer = eval { $client->_receive($socket, 'POST') } // return;
    @$answer{qw(method url)} = ('POST', $client->absolute("/payway/authorize/$case->{id}"));
    $client->_take_cookies($answer->url, $answer);
    return $answer;
}

# -- the three sides

sub sql ($self, $statement) {
    my $said = `sqlite3 -cmd '.timeout 5000' '$self->{ledger}' "$statement" 2>&1`;
    return $said =~ s/\n\z//r;
}

# {account => [{id, state, ...}, ...]}
sub rows ($self) {
    my %rows;
    for my $line (split /\n/, $self->sql('SELECT account, id, state, order_id, negatives, error FROM payway_purchase')) {
        my %row;
        @row{qw(account id state order_id negatives error)} = split /\|/, $line, -1;
        push @{$rows{$row{account}}}, \%row;
    }
    return \%rows;
}

sub state_of ($self, $case) { return $self->sql("SELECT state FROM payway_purchase WHERE id = '$case->{id}'") }

# Of every purchase, by its id.
sub states ($self) { return map { split /\|/ } split /\n/, $self->sql('SELECT id, state FROM payway_purchase') }

# How often each of these was charged.
sub charges ($self, @cases) {
    my %times;
    $times{$_->{account}}++ for $self->sim->charges;
    my @times = map { $times{$_->{account}} // 0 } @cases;
    return wantarray ? @times : $times[0];
}

# Orders that the simulator heard since its journal was cleared.
sub orders ($self) { return grep { $_->{path} =~ m{\A\Q$API\E/place_} } $self->sim->requests(role => 'api', path => "$API/place_") }

# … of each of these.
sub orders_of ($self, @cases) {
    my %times;
    $times{($_->{json}{merchant_reference} // '') =~ s/_.*//r}++ for $self->orders;
    my @times = map { $times{$_->{id}} // 0 } @cases;
    return wantarray ? @times : $times[0];
}

# What breaks an invariant (threats 2.2) for these cases, as lines; nothing when all is well. All is found out by now: a
# purchase that still runs is wrong.
sub violations ($self, @cases) {
    my (@wrong, %mine, %charged, %sent, %session);
    $mine{$_->{account}} = $_ for @cases;
    my $books = $self->sim->books;
    push @{$charged{$_->{account}}}, $_ for @{$books->{charges}};
    for my $order ($self->orders) {
        my $reference = ($order->{json}{merchant_reference} // '') =~ s/_.*//r;
        $sent{$reference}++;
        $session{$order->{json}{klarna_payments_session_id} // ''}{$reference} = 1;
    }
    push @wrong, map {"INV-1: purchase $_ was sent $sent{$_} times"} grep { $sent{$_} > 1 } keys %sent;
    push @wrong, map {"INV-2: several purchases placed by session $_"} grep { keys %{$session{$_}} > 1 } keys %session;
    my $rows = $self->rows;
    for my $account (keys %mine) {
        my $name    = $mine{$account}{name} // $account;
        my @rows    = @{$rows->{$account} // []};
        my @charges = @{$charged{$account} // []};
        my %placed  = map { ($_->{id} => $_) } grep { $_->{state} =~ /\A(?:placed|confirmed)\z/ } @rows;
        push @wrong, "$name: charged " . @charges . ' times' if @charges > 1;
        push @wrong, "INV-3: $name: several run at once" if 1 < grep { $_->{state} =~ /placing|unknown|manual|placed/ } @rows;
        push @wrong, map {"INV-5: $name: purchase $_->{id} is $_->{state}"} grep { $_->{state} =~ /placing|unknown|manual/ } @rows;
        for my $charge (@charges) {
            my $row = delete $placed{$charge->{merchant_reference} =~ s/_.*//r};
            push @wrong, "INV-6: $name: charged, and no placed row" unless $row;
            push @wrong, "INV-6: $name: the row has another order" if $row && $row->{order_id} ne $charge->{order_id};
        }
        push @wrong, map {"INV-6: $name: placed without a charge: $_"} keys %placed;
    }
    my $dump = $self->sql('.dump');
    push @wrong, map {"INV-9: $_->{name} is in the ledger"} grep { index($dump, $_->{email}) >= 0 || index($dump, $_->{token}) >= 0 } @cases;
    return @wrong;
}

# A client that leaves the answer for later.
package PWK::Crash::Sender;

use v5.36;
use parent -norequire, 'PWK::Client';

sub _exchange ($self, $origin, $bytes, $method) {
    $self->{sent} = $self->_connect($origin);
    $self->_send($self->{sent}, $bytes);
    return PWK::Client::Answer->new(status => 0, headers => [], body => '');
}

1;
