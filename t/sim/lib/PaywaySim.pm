package PaywaySim;

# Holds the parts together: the books, the switches, the faults, the journal, and a listener for each role.

use Mojo::Base -base, -signatures;
use PaywaySim::API;
use PaywaySim::Books;
use PaywaySim::Control;
use PaywaySim::Faults;
use PaywaySim::Journal;
use PaywaySim::Klarna;
use PaywaySim::Listener;
use PaywaySim::Portal;
use PaywaySim::Random qw(random_hex);
use PaywaySim::Shape;
use PaywaySim::SSO;

# A role: its name, who answers, and whether its requests are journalled and meet faults.
our @ROLES = (
    [api     => 'PaywaySim::API',     1],
    [sso     => 'PaywaySim::SSO',     1],
    [portal  => 'PaywaySim::Portal',  1],
    [klarna  => 'PaywaySim::Klarna',  1],
    [control => 'PaywaySim::Control', 0],
);

use constant COOKIE => 'payway_sso';

has 'seed';
has address => '127.0.0.1';
has ports   => sub { {} };
has verbose => 0;
has shape   => sub { PaywaySim::Shape->new };
has faults  => sub { PaywaySim::Faults->new };
has journal => sub ($self) { PaywaySim::Journal->new(shape => $self->shape) };
has books   => sub ($self) { PaywaySim::Books->new(shape => $self->shape) };

sub start ($self) {
    $self->reset;
    for my $role (@ROLES) {
        my ($name, $class, $journalled) = @$role;
        $self->{listener}{$name} = PaywaySim::Listener->new(
            sim        => $self,
            name       => $name,
            handler    => $class->new(sim => $self),
            address    => $self->address,
            port       => $self->ports->{$name},
            journalled => $journalled,
        );
        $self->{listener}{$name}->start;
    }
    return $self;
}

# A new seed is tried out first: a broken one must leave the old books.
sub reset ($self, $seed = undef) {
    PaywaySim::Books->new(shape => $self->shape)->load($seed) if $seed;
    $self->seed($seed) if $seed;
    $self->books->load($self->seed);
    $_->clear for $self->shape, $self->faults, $self->journal;
    return $self;
}

sub url ($self, $role) { return $self->{listener}{$role}->url }

sub klarna ($self) { return $self->{listener}{klarna}->handler }

sub urls ($self) { return {map { ($_->[0] => $self->url($_->[0])) } @ROLES} }

# Who this browser is: its id, and the header that tells it when it is new. SSO2 and the portal share the cookie,
# which browsers keep per host and not per port. It outlives the closing of the browser, as SSO2's does.
sub browser ($self, $request) {
    my $known = $request->cookies->{+COOKIE};
    return $known if $self->books->knows_browser($known);
    my $id = random_hex(32);
    $self->books->add_browser($id);
    $request->cookies->{+COOKIE} = $id;
    return $id, 'Set-Cookie' => COOKIE . "=$id; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax";
}

sub browser_session ($self, $request, $organisation) {
    return $self->books->browser_session($request->cookies->{+COOKIE}, $organisation);
}

sub say ($self, @words) { print STDERR join(' ', @words), "\n" if $self->verbose }

1;
