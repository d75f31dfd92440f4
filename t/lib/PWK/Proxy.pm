package PWK::Proxy;

# A TCP proxy before a role of the simulator, whose doors a test can shut: what happens to calls when nobody listens any
# more, while connections that are open stay so.
#
#     my $proxy = PWK::Proxy->start($sim->api);
#     $server->vars(API => $proxy->url);
#     $proxy->refuse;    # new connections are refused from now on
#     $proxy->accept;

use v5.36;
use Carp               qw(croak);
use IO::Select         ();
use IO::Socket::INET   ();
use POSIX              ();
use PWK::Server        ();

sub start ($class, $target) {
    my ($host, $to) = $target =~ m{\Ahttp://([^:/]+):(\d+)} or croak "not a target: $target";
    my $port = PWK::Server::free_port();
    pipe my $commands, my $control or croak "pipe: $!";
    pipe my $answers,  my $answer  or croak "pipe: $!";
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        close $control;
        close $answers;
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        eval { serve($port, $host, $to, $commands, $answer); 1 } or print STDERR "proxy: $@";
        POSIX::_exit(0);
    }
    close $commands;
    close $answer;
    my $self = bless {pid => $pid, owner => $$, port => $port, control => $control, answers => $answers}, $class;
    $self->_wait;
    return $self;
}

sub url ($self) { return "http://127.0.0.1:$self->{port}" }

sub refuse ($self) { return $self->_tell('refuse') }
sub accept ($self) { return $self->_tell('accept') }

# Returns when it is so.
sub _tell ($self, $word) {
    syswrite $self->{control}, "$word\n" or croak "proxy: $!";
    return $self->_wait;
}

sub _wait ($self) {
    sysread $self->{answers}, my $done, 1 or croak 'the proxy ended';
    return $self;
}

sub DESTROY ($self) {
    return unless $self->{owner} == $$;
    local ($?, $!);
    close $self->{control};
    waitpid $self->{pid}, 0;
}

# -- the process

sub serve ($port, $host, $to, $commands, $answer) {
    local $SIG{PIPE} = 'IGNORE';
    my $listen = sub {
        IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 64, ReuseAddr => 1) // die "port $port: $@\n";
    };
    my $door  = $listen->();
    my $ready = IO::Select->new($commands, $door);
    my %peer;
    my $shut = sub ($socket) {
        for my $end ($socket, delete $peer{$socket}) {
            next unless $end;
            delete $peer{$end};
            $ready->remove($end);
            close $end;
        }
    };
    syswrite $answer, '.';
    while (1) {
        for my $from ($ready->can_read) {
            if ($from == $commands) {
                sysread($commands, my $word, 64) or return;
                if ($word =~ /refuse/ && $door) { $ready->remove($door); close $door; undef $door }
                if ($word =~ /accept/ && !$door) { $door = $listen->(); $ready->add($door) }
                syswrite $answer, '.';
            }
            elsif ($door && $from == $door) {
                my $client = $door->accept // next;
                my $server = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $to) // do { close $client; next };
                @peer{$client, $server} = ($server, $client);
                $ready->add($client, $server);
            }
            elsif (my $other = $peer{$from}) {
                my $got = sysread $from, my $bytes, 65_536;
                if (!$got) { $shut->($from); next }
                while (length $bytes) {
                    my $sent = syswrite $other, $bytes;
                    if (!defined $sent) { $shut->($from); last }
                    substr $bytes, 0, $sent, '';
                }
            }
        }
    }
}

1;
