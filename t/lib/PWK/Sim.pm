package PWK::Sim;

# Starts the Payway simulator for a test, and speaks to its control port. t/sim/README.md tells what can be asked.
#
#     my $sim = PWK::Sim->start(seed => {organisations => [...], ...});
#     $sim->api; $sim->fault(role => 'sso', kind => 'status', status => 503);
#
# The simulator ends with the object. A control call that is refused dies with the simulator's words.

use v5.36;
use Carp           qw(croak);
use Cwd            qw(realpath);
use File::Basename qw(dirname);
use File::Temp     ();
use HTTP::Tiny     ();
use JSON::PP       ();
use POSIX          qw(WNOHANG);

my $PROGRAM = realpath(dirname(__FILE__) . '/../../sim/payway-sim');
my $JSON    = JSON::PP->new->utf8->canonical;

use constant START_SECONDS => 30;

# seed: what the simulator knows. ports: {role => port}, free ones without. listen: address. log: a file for its
# standard error with one line for each request (without it, standard error is the test's own).
sub start ($class, %option) {
    my $seed = File::Temp->new(SUFFIX => '.json');
    print {$seed} $JSON->encode($option{seed} // croak 'seed is missing');
    close $seed or croak "seed: $!";

    my @command = ($^X, $PROGRAM, '--with-stdin', '--seed', "$seed");
    push @command, '--listen', $option{listen} if defined $option{listen};
    push @command, "--port-$_", $option{ports}{$_} for sort keys %{$option{ports} // {}};
    push @command, '--verbose' if defined $option{log};

    pipe my $their_in, my $our_out or croak "pipe: $!";
    pipe my $our_in, my $their_out or croak "pipe: $!";
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        open STDIN,  '<&', $their_in  or POSIX::_exit(126);
        open STDOUT, '>&', $their_out or POSIX::_exit(126);
        if (defined $option{log}) { open STDERR, '>>', $option{log} or POSIX::_exit(126) }
        close $our_out;
        { no warnings 'exec'; exec @command }
        POSIX::_exit(127);
    }
    close $their_in;
    close $their_out;
    # No keep-alive: HTTP::Tiny writes head and body apart, which a kept connection answers 40 ms late.
    my $http = HTTP::Tiny->new(timeout => 20, keep_alive => 0);
    my $self = bless {pid => $pid, owner => $$, stdin => $our_out, http => $http}, $class;
    my $line = eval {
        local $SIG{ALRM} = sub { die "the simulator is not ready after @{[START_SECONDS]} s\n" };
        alarm START_SECONDS;
        my $read = readline $our_in;
        alarm 0;
        $read;
    };
    my $why = $@ || 'the simulator did not start';
    alarm 0;
    if (!defined $line) { $self->stop; croak $why }
    $self->{urls} = $JSON->decode($line);
    return $self;
}

sub api ($self)     { return $self->{urls}{api} }
sub sso ($self)     { return $self->{urls}{sso} }
sub portal ($self)  { return $self->{urls}{portal} }
sub klarna ($self)  { return $self->{urls}{klarna} }
sub control ($self) { return $self->{urls}{control} }
sub pid ($self)     { return $self->{pid} }

# -- control

sub call ($self, $method, $path, $body = undef) {
    my %with = defined $body
        ? (content => $JSON->encode($body), headers => {'Content-Type' => 'application/json'})
        : ();
    my $answer = $self->{http}->request($method, $self->control . $path, \%with);
    croak "simulator: $method $path: $answer->{status} $answer->{content}" unless $answer->{success};
    return $JSON->decode($answer->{content});
}

# Back to the seed (or to another one); clears switches, faults and requests.
sub reset ($self, $seed = undef) { return $self->call(POST => '/reset', $seed) }

# The requests so far as a list; filter by role, path (prefix), method, operation, client, account.
sub requests ($self, %filter) {
    my $query = $self->{http}->www_form_urlencode(\%filter);
    return @{$self->call(GET => '/requests' . (length $query ? "?$query" : ''))->{requests}};
}

sub clear_requests ($self) { return $self->call(DELETE => '/requests') }
sub stats ($self)          { return @{$self->call(GET => '/stats')->{stats}} }
sub books ($self)          { return $self->call(GET => '/books') }

# One part of them; and accounts that a test is through with are forgotten with everything of theirs.
sub part ($self, $name)    { return $self->call(GET => "/books/$name")->{$name} }
sub forget ($self, @ids)   { return $self->call(POST => '/forget', {accounts => \@ids})->{charges} }
sub shape ($self, %switch) { return $self->call(%switch ? (POST => '/shape', \%switch) : (GET => '/shape')) }

# role and kind are needed; numbers and before_acting may be given as Perl has them. Returns the fault's id.
sub fault ($self, %fault) {
    for my $name (grep { defined $fault{$_} } qw(status seconds times retry_after bytes)) { $fault{$name} += 0 }
    if (exists $fault{before_acting}) {
        $fault{before_acting} = $fault{before_acting} ? JSON::PP::true : JSON::PP::false;
    }
    return $self->call(POST => '/fault', \%fault)->{id};
}

sub clear_faults ($self, $id = undef) { return $self->call(DELETE => '/fault' . (defined $id ? "/$id" : '')) }

# Changes members of an account and returns it.
sub account ($self, $id, $patch) { return $self->call(POST => "/accounts/$id", $patch) }
sub new_account ($self, $account) { return $self->call(POST => '/accounts', $account) }

# Changes an API user, e.g. its redirect_uri once the site's port is known.
sub client ($self, $id, $patch) { return $self->call(POST => "/clients/$id", $patch) }

# status: terminated, anon, gone (session_not_found), or loggedin with account.
sub session ($self, $sid, $patch)    { return $self->call(POST => "/sessions/$sid", $patch) }
sub terminate ($self, $sid)          { return $self->session($sid, {status => 'terminated'}) }
sub logout_account ($self, $account) { return $self->call(POST => "/logout-account/$account")->{terminated} }

# An authentication ticket of an account, for this client.
sub ticket ($self, $account, $client) {
    return $self->call(POST => '/tickets', {account => $account, client => $client})->{ticket};
}

# -- Klarna

# An authorization token, as Klarna's widget gives one out. session: the id that create_session answered. category:
# what the widget was started with; without it the session's first.
sub authorize ($self, $session, %with) {
    return $self->call(POST => '/authorizations', {session => $session, %with})->{authorization_token};
}

# What Klarna knows of a customer, by account id or e-mail: ssn, given_name, family_name, birth_date, phone,
# street_address, postal_code, city, delivery_address, bad_account_data, bad_delivery_address, payment (failed).
sub klarna_person ($self, $who, $person) {
    my %person = %$person;
    for my $name (grep { exists $person{$_} } qw(bad_account_data bad_delivery_address)) {
        $person{$name} = $person{$name} ? JSON::PP::true : JSON::PP::false;
    }
    my $at = $who =~ s/([^\w.@-])/sprintf '%%%02X', ord $1/ger;
    return $self->call(POST => "/klarna-person/$at", \%person);
}

# Every order for which money moved: {time, token, session, account, merchant_reference, order_id, amount, trial}.
sub charges ($self) { return @{$self->part('charges')} }

sub klarna_sessions ($self) { return @{$self->part('klarna_sessions')} }

# -- time

# Expires tokens and tickets; filter by kind (access, refresh, ticket), client, account. The kinds klarna_session and
# authorization are expired only when named. Returns how many.
sub expire ($self, %filter) { return $self->call(POST => '/tokens/expire', \%filter)->{expired} }

# -- the end

sub stop ($self) {
    my $pid = delete $self->{pid} or return;
    return unless $self->{owner} == $$;    # a child of the test only leaves it alone
    close delete $self->{stdin};
    local ($?, $!);
    kill TERM => $pid;
    for (1 .. 100) {
        return if waitpid($pid, WNOHANG) != 0;
        select undef, undef, undef, 0.05;
    }
    kill KILL => $pid;
    waitpid $pid, 0;
}

sub DESTROY ($self) { $self->stop }

1;
