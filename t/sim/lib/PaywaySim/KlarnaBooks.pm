package PaywaySim::KlarnaBooks;

# What Klarna and Payway know together of a purchase: sessions, authorizations, the persons that Klarna knows, and the
# list of charges. A charge is written down once for each time that money moved, whatever the client believes.

use Mojo::Base -base, -signatures;
use PaywaySim::Random qw(random_hex random_uuid);
use Time::HiRes       qw(time);

has 'shape';

sub clear ($self) { delete @$self{qw(sessions authorizations persons charges)} }

# -- sessions: what create_session gives out

# {client, organisation, account, code, period, period_id, period_type, start_date, confirmation_url,
# disable_account_info_overwrite, categories, scenario}
sub new_session ($self, %fields) {
    my $uuid    = random_uuid();
    my $id      = $self->shape->get('session_id') eq 'hex' ? random_hex(24) : $uuid;
    my $created = time;
    my $session = {
        %fields,
        id             => $id,
        klarna_session => $uuid,
        created        => $created,
        expires        => $created + $self->shape->get('klarna_session_lifetime'),
        used           => 0,
    };
    push @{$self->{sessions}}, $session;
    return $session;
}

# By Payway's id or by Klarna's, which is the one in the client token.
sub session ($self, $id) {
    return (grep { $_->{id} eq $id || $_->{klarna_session} eq $id } @{$self->{sessions} // []})[0];
}

sub is_open ($self, $session) { return !$session->{used} && $session->{expires} > time }

# -- authorizations: what Klarna's widget gives out

# A newer one of the same session makes the older ones worthless.
sub authorize ($self, $session, $category) {
    for my $older ($self->authorizations) { $older->{superseded} = 1 if $older->{session} eq $session->{id} }
    my $created = time;
    push @{$self->{authorizations}}, {
        token      => random_uuid(),
        session    => $session->{id},
        category   => $category,
        created    => $created,
        expires    => $created + $self->shape->get('authorization_lifetime'),
        used       => 0,
        superseded => 0,
    };
    return $self->{authorizations}[-1];
}

sub authorizations ($self) { return @{$self->{authorizations} // []} }

sub authorization ($self, $token) { return (grep { $_->{token} eq $token } $self->authorizations)[0] }

# -- persons: what Klarna knows of a customer, by account id or e-mail. Without an entry Klarna tells nothing.

sub set_person ($self, $who, $person) { return $self->{persons}{lc $who} = $person }

sub person ($self, $account) {
    return (grep { defined } map { $self->{persons}{lc $_} } @$account{qw(id email)})[0] // {};
}

# -- charges

sub charge ($self, %fields) {
    push @{$self->{charges}}, {time => time, %fields};
    return $self->{charges}[-1];
}

sub charges ($self) { return @{$self->{charges} // []} }

# -- for tests

# Expires what matches {client, account}: sessions, or the authorizations of such sessions. Returns how many.
sub expire ($self, $kind, %filter) {
    my @sessions = grep {
        my $session = $_;
        !grep { ($session->{$_} // '') ne $filter{$_} } keys %filter
    } @{$self->{sessions} // []};
    my %mine = map { ($_->{id} => 1) } @sessions;
    my @all  = $kind eq 'klarna_session' ? @sessions : grep { $mine{$_->{session}} } $self->authorizations;
    $_->{expires} = time - 1 for @all;
    return scalar @all;
}

sub dump ($self) {
    return {
        klarna_sessions => [@{$self->{sessions} // []}],
        authorizations  => [$self->authorizations],
        klarna_persons  => {%{$self->{persons} // {}}},
        charges         => [$self->charges],
    };
}

1;
