package PaywaySim::KlarnaBooks;

# What Klarna and Payway know together of a purchase: sessions, authorizations, the persons that Klarna knows, and the
# list of charges. A charge is written down once for each time that money moved, whatever the client believes.

use Mojo::Base -base, -signatures;
use PaywaySim::Random qw(random_hex random_uuid);
use Time::HiRes       qw(time);

has 'shape';

# Beside the lists, which keep the order: by_id has the sessions by either id, by_token the authorizations, by_session those of
# a session.
sub clear ($self) { delete @$self{qw(sessions authorizations persons charges by_id by_token by_session)} }

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
    $self->{by_id}{$_} = $session for $id, $uuid;
    return $session;
}

# By Payway's id or by Klarna's, which is the one in the client token.
sub session ($self, $id) { return $self->{by_id}{$id} }

sub is_open ($self, $session) { return !$session->{used} && $session->{expires} > time }

# -- authorizations: what Klarna's widget gives out

# A newer one of the same session makes the older ones worthless.
sub authorize ($self, $session, $category) {
    $_->{superseded} = 1 for @{$self->{by_session}{$session->{id}} // []};
    my $created = time;
    my $given   = {
        token      => random_uuid(),
        session    => $session->{id},
        category   => $category,
        created    => $created,
        expires    => $created + $self->shape->get('authorization_lifetime'),
        used       => 0,
        superseded => 0,
    };
    push @$_, $given for $self->{authorizations} //= [], $self->{by_session}{$session->{id}} //= [];
    return $self->{by_token}{$given->{token}} = $given;
}

sub authorizations ($self) { return @{$self->{authorizations} // []} }

sub authorization ($self, $token) { return $self->{by_token}{$token} }

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

# All that belongs to these accounts. Returns how many charges are forgotten with it.
sub forget_accounts ($self, $gone) {
    my $is_gone = sub ($one) { $gone->{$one->{account} // ''} };
    for my $session (grep { $is_gone->($_) } @{$self->{sessions} // []}) {
        delete @{$self->{by_id}}{@$session{qw(id klarna_session)}};
        delete $self->{by_token}{$_->{token}} for @{delete $self->{by_session}{$session->{id}} // []};
    }
    $self->{sessions}       = [grep { !$is_gone->($_) } @{$self->{sessions} // []}];
    $self->{authorizations} = [grep { $self->{by_token}{$_->{token}} } $self->authorizations];
    delete @{$self->{persons}}{keys %$gone};
    my @before = $self->charges;
    $self->{charges} = [grep { !$is_gone->($_) } @before];
    return @before - @{$self->{charges}};
}

sub parts ($self) {
    return (
        klarna_sessions => sub { [@{$self->{sessions} // []}] },
        authorizations  => sub { [$self->authorizations] },
        klarna_persons  => sub { +{%{$self->{persons} // {}}} },
        charges         => sub { [$self->charges] },
    );
}

1;
