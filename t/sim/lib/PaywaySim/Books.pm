package PaywaySim::Books;

# What the simulated Payway knows: accounts, sessions, tickets, tokens, packages, orders. In memory only. Everything
# belongs to an organisation, and a look-up that leaves the organisation out is a defect: two organisations on one
# server never see each other. Klarna's part has books of its own (KlarnaBooks).

use Mojo::Base -base, -signatures;
use PaywaySim::KlarnaBooks;
use PaywaySim::Random qw(random_hex);
use PaywaySim::Seed   qw(read_seed);
use POSIX             qw(mktime);
use Time::HiRes       ();

use constant {ATTEMPTS => 5, ATTEMPT_WINDOW => 3600};

has 'shape';
has klarna => sub ($self) { PaywaySim::KlarnaBooks->new(shape => $self->shape) };

sub load ($self, $seed) {
    my $read = read_seed($seed);
    delete @$self{qw(sessions renamed browsers tickets tokens codes orders grants counter attempts frozen by_email)};
    $self->klarna->clear;
    $self->{organisations} = {map { ($_->{id} => $_) } @{$read->{organisations}}};
    $self->{clients}       = {map { ($_->{id} => $_) } @{$read->{clients}}};
    $self->{accounts}      = {};
    $self->add_account($_) for sort { $b->{id} cmp $a->{id} } @{$read->{accounts}};
    $self->{packages}      = $read->{packages};
    $self->{titles}        = $read->{titles};
    return $self;
}

sub organisations ($self) { return sort keys %{$self->{organisations}} }

# -- API users

sub client ($self, $id) { return defined $id ? $self->{clients}{$id} : undef }

sub clients ($self) { return map { $self->{clients}{$_} } sort keys %{$self->{clients}} }

# -- accounts

sub account ($self, $organisation, $id) {
    my $account = $self->any_account($id // '') or return;
    return $account->{organisation} eq $organisation ? $account : undef;
}

sub any_account ($self, $id) { return $self->_settle($self->{accounts}{lc $id}) }

sub accounts_of ($self, $organisation) {
    return grep { $_->{organisation} eq $organisation } map { $self->{accounts}{$_} } sort keys %{$self->{accounts}};
}

# Also called when an account has another e-mail address.
sub add_account ($self, $account) {
    $self->{by_email}{_address(@$account{qw(organisation email)})} = $account->{id};
    return $self->{accounts}{$account->{id}} = $account;
}

sub _address ($organisation, $email) { return "$organisation^" . lc $email }

sub account_by_email ($self, $organisation, $email) {
    my $id      = $self->{by_email}{_address($organisation, $email)};
    my $account = defined $id ? $self->{accounts}{$id} : undef;
    return $account && lc $account->{email} eq lc $email ? $self->_settle($account) : undef;
}

# Accounts with all that belongs to them, as if they had never been: for tests that make very many. What was charged is
# forgotten too.
sub forget_accounts ($self, @ids) {
    my %gone = map { (lc $_ => 1) } @ids;
    for my $account (grep {defined} delete @{$self->{accounts}}{keys %gone}) {
        delete $self->{by_email}{_address(@$account{qw(organisation email)})};
        $self->unfreeze($account);
    }
    for my $kind (qw(sessions tickets tokens codes)) {
        my $all = $self->{$kind} // next;
        for my $one (grep { $gone{$all->{$_}{account} // ''} } keys %$all) {
            my $ended = delete $all->{$one};
            delete $self->{browsers}{$ended->{browser}} if $kind eq 'sessions' && defined $ended->{browser};
        }
    }
    my $renamed = $self->{renamed} // {};
    delete @$renamed{grep { !$self->{sessions}{$renamed->{$_}} } keys %$renamed};
    delete @{$self->{$_}}{keys %gone} for qw(orders grants);
    return $self->klarna->forget_accounts(\%gone);
}

# -- login attempts (reference 5.8): five failures within an hour freeze the address

sub attempts ($self, $organisation, $email) {
    my $key   = "$organisation^" . lc $email;
    my $until = $self->{frozen}{$key} // 0;
    if ($until && $until <= time) {
        delete $self->{frozen}{$key};
        delete $self->{attempts}{$key};
        $until = 0;
    }
    my @failed = grep { $_ > time - ATTEMPT_WINDOW } @{$self->{attempts}{$key} // []};
    return {frozen_until => $until, remaining => $until ? 0 : ATTEMPTS - @failed};
}

sub note_attempt ($self, $organisation, $email, $successful) {
    my $key = "$organisation^" . lc $email;
    return delete $self->{attempts}{$key} if $successful;
    my @failed = grep { $_ > time - ATTEMPT_WINDOW } @{$self->{attempts}{$key} // []}, time;
    $self->{attempts}{$key} = \@failed;
    $self->{frozen}{$key} //= time + $self->shape->get('freeze_seconds') if @failed >= ATTEMPTS;
}

# {account} or {err, raa, frf}. An unknown address counts like a known one, so that the answers do not tell them apart.
sub check_password ($self, $organisation, $email, $password) {
    my $before = $self->attempts($organisation, $email);
    return {err => 'account_frozen', frf => $before->{frozen_until} - time} if $before->{frozen_until};
    my $account = $self->account_by_email($organisation, $email);
    if ($account && $account->{password} eq $password) {
        return {err => 'account_not_active'} if $account->{status} ne 'active';
        $self->note_attempt($organisation, $email, 1);
        return {account => $account};
    }
    $self->note_attempt($organisation, $email, 0);
    my $after = $self->attempts($organisation, $email);
    return {err => 'account_frozen', frf => $after->{frozen_until} - time} if $after->{frozen_until};
    return {err => 'invalid_credentials', raa => $after->{remaining}};
}

sub unfreeze ($self, $account) {
    my $key = "$account->{organisation}^" . lc $account->{email};
    delete $self->{frozen}{$key};
    delete $self->{attempts}{$key};
}

# -- sessions: one per browser and organisation, shared by all sites of the organisation

sub session ($self, $organisation, $sid) {
    my $session = $self->any_session($sid // '') or return;
    return $session->{organisation} eq $organisation ? $session : undef;
}

sub any_session ($self, $sid) {
    return $self->{sessions}{$self->{renamed}{$sid} // $sid};
}

sub new_session ($self, $organisation, $browser = undef) {
    my $sid = random_hex(32);
    $self->{browsers}{$browser}{$organisation} = $sid if defined $browser;
    return $self->{sessions}{$sid} = {
        sid          => $sid,
        organisation => $organisation,
        browser      => $browser,
        status       => 'anon',
        account      => undef,
        created      => time,
    };
}

# The browser's session with this organisation; nothing when it has none or the session was terminated.
sub browser_session ($self, $browser, $organisation) {
    return unless $self->knows_browser($browser);
    my $session = $self->any_session($self->{browsers}{$browser}{$organisation} // '') or return;
    return $session->{status} eq 'terminated' ? undef : $session;
}

sub knows_browser ($self, $browser) { return defined $browser && exists $self->{browsers}{$browser} }

sub add_browser ($self, $browser) { $self->{browsers}{$browser} = {} }

sub login ($self, $session, $account) {
    if ($self->shape->get('sid') eq 'rotate') {
        my ($old, $new) = ($session->{sid}, random_hex(32));
        delete $self->{sessions}{$old};
        $_ eq $old and $_ = $new for values %{$self->{renamed}};
        $self->{renamed}{$old} = $new;
        $session->{sid} = $new;
        $self->{sessions}{$new} = $session;
        $self->{browsers}{$session->{browser}}{$session->{organisation}} = $new if defined $session->{browser};
    }
    @$session{qw(status account login_at)} = ('loggedin', $account->{id}, ++$self->{counter}{login});
    my $limit = $self->shape->get('device_limit') or return $session;
    my @mine  = sort { $b->{login_at} <=> $a->{login_at} } $self->sessions_of($account->{id});
    $self->terminate($_) for grep { defined } @mine[$limit .. $#mine];
    return $session;
}

sub sessions_of ($self, $account_id) {
    return grep { $_->{status} eq 'loggedin' && $_->{account} eq $account_id } values %{$self->{sessions}};
}

sub terminate ($self, $session) {
    @$session{qw(status account)} = ('terminated', undef);
    return $session;
}

sub forget_session ($self, $session) { delete $self->{sessions}{$session->{sid}} }

# -- tickets, codes and tokens

sub new_ticket ($self, $client, $account, $lifetime = $self->shape->get('ticket_lifetime')) {
    my $ticket = random_hex(40);
    $self->{tickets}{$ticket} =
        {ticket => $ticket, client => $client->{id}, account => $account->{id}, expires => time + $lifetime, used => 0};
    return $ticket;
}

# One use only, by the client that it was meant for, in time. A ticket that was tried by the wrong client is not spent.
sub redeem ($self, $client, $kind, $value) {
    my $found = $self->{$kind}{$value // ''} or return;
    return if $found->{used} || $found->{client} ne $client->{id} || $found->{expires} <= time;
    $found->{used} = 1;
    return $found;
}

sub new_code ($self, $client, $account, $redirect_uri) {
    my $code = random_hex(32);
    $self->{codes}{$code} = {
        code => $code, client => $client->{id}, account => $account->{id}, expires => time + 60, used => 0,
        redirect_uri => $redirect_uri
    };
    return $code;
}

sub new_token ($self, $kind, $client, $account_id, $scopes, $lifetime) {
    my $token = random_hex(48);
    $self->{tokens}{$token} = {
        token => $token, kind => $kind, client => $client->{id}, account => $account_id, scopes => $scopes,
        expires => defined $lifetime ? time + $lifetime : undef
    };
    return $token;
}

sub token ($self, $kind, $value) {
    my $token = $self->{tokens}{$value // ''} or return;
    return if $token->{kind} ne $kind || defined $token->{expires} && $token->{expires} <= time;
    return $token;
}

sub forget_token ($self, $value) { delete $self->{tokens}{$value} }

# Expires what matches {kind, client, account}; kind is access, refresh or ticket, and klarna_session or authorization
# when it is named. Returns how many.
sub expire ($self, %filter) {
    my $kind = $filter{kind} // '';
    if ($kind eq 'klarna_session' || $kind eq 'authorization') {
        delete $filter{kind};
        return $self->klarna->expire($kind, %filter);
    }
    my @all = (
        values %{$self->{tokens}},
        map { {%$_, kind => 'ticket', entry => $_} } values %{$self->{tickets}}
    );
    my $count = 0;
    for my $one (@all) {
        next if grep { ($one->{$_} // '') ne $filter{$_} } keys %filter;
        ($one->{entry} // $one)->{expires} = time - 1;
        $count++;
    }
    return $count;
}

# -- packages, campaigns and titles

sub packages ($self, $organisation, %filter) {
    return grep {
        my $package = $_;
        $package->{organisation} eq $organisation && !grep { ($package->{$_} // '') ne $filter{$_} } keys %filter
    } @{$self->{packages}};
}

sub package ($self, $organisation, $code) { return ($self->packages($organisation, code => $code))[0] }

sub package_of_any ($self, $code) {
    return map { $self->packages($_, code => $code) } $self->organisations;
}

sub titles ($self, $organisation) {
    my @named = grep { $_->{organisation} eq $organisation } @{$self->{titles}};
    my %seen  = map  { ($_->{code} => 1) } @named;
    my @others = grep { defined && !$seen{$_}++ } map { $_->{title_code} } $self->packages($organisation);
    return @named, map { {code => $_, name => $_, organisation => $organisation} } @others;
}

# -- orders

# Books the order, and gives the account what the package holds. The caller has asked may_purchase and for money.
sub place_order ($self, $account, $package, $period, %more) {
    my $organisation = $account->{organisation};
    my $number       = 100 + ++$self->{counter}{order}{$organisation};
    my $order        = {
        id           => random_hex(24),
        order_id     => uc($organisation) . "-$number",
        organisation => $organisation,
        account      => $account->{id},
        code         => $package->{code},
        period       => $period,
        created      => Time::HiRes::time(),
        %more,
    };
    push @{$self->{orders}{$account->{id}}}, $order;
    push @{$self->{grants}{$account->{id}}}, {
        code     => $package->{code},
        products => $package->{products},
        created  => Time::HiRes::time(),
        starts   => _midnight($more{start_date}),
    };
    $account->{packages} = [unique(@{$account->{packages}}, $package->{code})];
    $self->_settle($account);
    return $order;
}

# The local beginning of a day written YYYY-MM-DD; 0 without one.
sub _midnight ($date) {
    my ($year, $month, $day) = split /-/, $date // return 0;
    return mktime(0, 0, 0, $day, $month - 1, $year - 1900, 0, 0, -1);
}

# Gives the account what it has bought and what shows by now: nothing before its start date, nor while products_delay
# holds it back. Done whenever an account is looked up, so that nobody sees one that is behind.
sub _settle ($self, $account) {
    my $mine = $account && $self->{grants}{$account->{id}} or return $account;
    my $now  = Time::HiRes::time();
    my $made = $now - $self->shape->get('products_delay');
    my $is_due = sub ($grant) { $grant->{created} <= $made && $grant->{starts} <= $now };
    $account->{products} = [unique(@{$account->{products}}, map { @{$_->{products}} } grep { $is_due->($_) } @$mine)];
    @$mine = grep { !$is_due->($_) } @$mine;
    return $account;
}

# The subscription ends: its products go, unless another that the account has bought holds them too.
sub end_subscription ($self, $account, $package) {
    return unless grep { $_ eq $package->{code} } @{$account->{packages}};
    $account->{packages} = [grep { $_ ne $package->{code} } @{$account->{packages}}];
    my %kept = map { ($_ => 1) } map { @{$_->{products}} }
        grep { defined } map { $self->package($account->{organisation}, $_) } @{$account->{packages}};
    my %gone = map { ($_ => 1) } grep { !$kept{$_} } @{$package->{products}};
    $account->{products} = [grep { !$gone{$_} } @{$account->{products}}];
    my $mine = $self->{grants}{$account->{id}} // [];
    @$mine = grep { $_->{code} ne $package->{code} } @$mine;
}

sub unique (@list) {
    my %seen;
    return grep { !$seen{$_}++ } @list;
}

# In the order in which they were made.
sub orders ($self, $organisation, %filter) {
    return grep {
        my $order = $_;
        $order->{organisation} eq $organisation && !grep { $order->{$_} ne $filter{$_} } keys %filter
    } $self->_all_orders($filter{account});
}

sub _all_orders ($self, $account = undef) {
    my $orders = $self->{orders} // {};
    return @{$orders->{$account} // []} if defined $account;
    return sort { $a->{created} <=> $b->{created} } map {@$_} values %$orders;
}

# The reason word of purchase validation (reference 8). Account may be absent: an unknown person may buy.
sub may_purchase ($self, $account, $package) {
    if (my $forced = $self->shape->get('purchase_reason')) { return $forced }
    return 'purchase_allowed' unless $account && grep { $_ eq $package->{code} } @{$account->{packages}};
    return $package->{kind} eq 'campaign' ? 'campaign_already_purchased' : 'package_already_active';
}

# -- for tests

# What a test may look at: by name, the code that gives it.
sub parts ($self) {
    my $without = sub ($thing, @names) { my %copy = %$thing; delete @copy{@names}; return \%copy };
    return (
        organisations => sub { [$self->organisations] },
        clients  => sub { [map { $without->($_, 'secret') } $self->clients] },
        accounts => sub { [map { $without->($self->_settle($_), 'password') } map { $self->{accounts}{$_} } sort keys %{$self->{accounts}}] },
        sessions => sub { [sort { $a->{created} <=> $b->{created} } values %{$self->{sessions} // {}}] },
        tickets  => sub { [sort { $a->{expires} <=> $b->{expires} } values %{$self->{tickets} // {}}] },
        tokens   => sub { [sort { ($a->{expires} // 0) <=> ($b->{expires} // 0) } values %{$self->{tokens} // {}}] },
        orders   => sub { [$self->_all_orders] },
        $self->klarna->parts,
    );
}

sub dump ($self, @names) {
    my %part = $self->parts;
    @names = keys %part unless @names;
    return {map { ($_ => $part{$_}->()) } @names};
}

1;
