package PWK::Proxy;

# A TCP proxy before a role of the simulator. A test can shut its doors: what happens to calls when nobody listens any more,
# while connections that are open stay so. And it can break the connection that carries an order at any byte of it.
#
#     my $proxy = PWK::Proxy->start($sim->api);
#     $server->vars(API => $proxy->url);
#     $proxy->refuse;    # new connections are refused from now on
#     $proxy->accept;
#     $proxy->cut(request  => 100, how => 'rst');                     # the next place_order: 100 bytes of it are passed on
#     $proxy->cut(response => 'head', how => 'fin', purchase => $id); # … that of this purchase: the head of its answer comes
#     $proxy->seen;      # {purchase id => {sent => 1, request => 912, request_head => 230, response => 423, …}}
#
# An order is known by the first bytes of its request, its purchase by merchant_reference. The request is read whole before
# anything of it is passed on, so that bytes are counted and not packets; the answer likewise. Orders for cuts may come from
# several processes at once.

use v5.36;
use Carp               qw(croak);
use IO::Select         ();
use IO::Socket::INET   ();
use JSON::PP           ();
use POSIX              ();
use PWK::Server        ();

my $PLACE = 'POST /external/api/v1/klarna_payments/place';
my $JSON  = JSON::PP->new->utf8->canonical;

sub start ($class, $target) {
    my ($host, $to) = $target =~ m{\Ahttp://([^:/]+):(\d+)} or croak "not a target: $target";
    my ($port, $desk) = (PWK::Server::free_port(), PWK::Server::free_port());
    pipe my $life,   my $our_life  or croak "pipe: $!";
    pipe my $answer, my $its_answer or croak "pipe: $!";
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        close $our_life;
        close $answer;
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        my $process = PWK::Proxy::Process->new(port => $port, desk => $desk, host => $host, to => $to, life => $life);
        eval { $process->serve(sub { syswrite $its_answer, '.' }); 1 } or print STDERR "proxy: $@";
        POSIX::_exit(0);
    }
    close $life;
    close $its_answer;
    sysread $answer, my $ready, 1 or croak 'the proxy did not start';
    return bless {pid => $pid, owner => $$, port => $port, desk => $desk, life => $our_life}, $class;
}

sub url ($self) { return "http://127.0.0.1:$self->{port}" }
sub pid ($self) { return $self->{pid} }

sub refuse ($self) { return $self->_tell({do => 'refuse'}) && $self }
sub accept ($self) { return $self->_tell({do => 'accept'}) && $self }

# Orders a cut of the next order's connection, or of the next one that carries `purchase`. One of `request => N` and
# `response => N`: how many bytes of it are passed on, or 'head' (up to its body), or 'end'. how:
#   fin, rst   the connection ends so, on both sides
#   hold       it stays as it is, until `release`
#   kill       the process of httpd that holds it is killed (-9); `parent` is httpd's pid
#   500 …      the client is answered with that status and Payway's JSON instead of what was to be passed on
sub cut ($self, %cut) {
    croak 'request or response' unless defined $cut{request} xor defined $cut{response};
    croak "not a way to cut: $cut{how}" unless ($cut{how} // '') =~ /\A(?:fin|rst|hold|kill|[2-5]\d\d)\z/;
    $self->_tell({do => 'cut', %cut});
    return $self;
}

# Lets what is held go on. Returns how many.
sub release ($self) { return $self->_tell({do => 'release'})->{count} }

# How many connections are held.
sub held ($self) { return $self->_tell({do => 'held'})->{count} }

# What orders were seen, by purchase id: how often it was `sent`, the Klarna `session`, bytes of the last one's `request`,
# `request_head`, `response`, `response_head`, and `cut`: whether one was carried out. forget => 1: lengths are kept no longer.
sub seen ($self, %option) { return $self->_tell({do => 'seen', %option})->{seen} }

# Of all orders since the start: {orders, twice => [purchases sent more than once], shared => [Klarna sessions of more than
# one purchase], killed => how many processes}.
sub faults ($self) { return $self->_tell({do => 'faults'}) }

# Each process talks by a connection of its own.
sub _tell ($self, $message) {
    if (!$self->{talk} || $self->{talker} != $$) {
        $self->{talk} = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{desk}) // croak "proxy: $@";
        $self->{talker} = $$;
    }
    local $SIG{PIPE} = 'IGNORE';
    print {$self->{talk}} $JSON->encode($message), "\n";
    $self->{talk}->flush;
    my $line = readline $self->{talk};
    return $JSON->decode($line // croak 'the proxy ended');
}

sub DESTROY ($self) {
    return unless $self->{owner} == $$;
    local ($?, $!);
    close $self->{life};
    kill TERM => $self->{pid};
    waitpid $self->{pid}, 0;
}

# -- the process

package PWK::Proxy::Process;

use v5.36;
use Socket qw(SOCK_RAW SOL_SOCKET SO_LINGER SO_RCVTIMEO);

sub new ($class, %with) { return bless {%with, talks => {}, links => {}, seen => {}, cuts => {}, next => [], held => []}, $class }

sub listen_at ($port) {
    return IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 128, ReuseAddr => 1) // die "port $port: $@\n";
}

sub serve ($self, $is_ready) {
    local $SIG{PIPE} = 'IGNORE';
    $self->{door}  = listen_at($self->{port});
    $self->{table} = listen_at($self->{desk});
    my $ready = $self->{ready} = IO::Select->new($self->{life}, $self->{door}, $self->{table});
    $is_ready->();
    while (1) {
        for my $from ($ready->can_read) {
            return if $from == $self->{life};
            if    ($from == $self->{table})        { $self->_seat }
            elsif (exists $self->{talks}{$from}) { $self->_hear($from) }
            elsif ($self->{door} && $from == $self->{door}) { $self->_connect }
            elsif (my $link = $self->{links}{$from}) { $self->_read($link, $from) }
        }
    }
}

# -- what tests say

sub _seat ($self) {
    my $talk = $self->{table}->accept // return;
    $self->{talks}{$talk} = '';
    $self->{ready}->add($talk);
}

sub _hear ($self, $talk) {
    if (!sysread $talk, $self->{talks}{$talk}, 65_536, length $self->{talks}{$talk}) {
        delete $self->{talks}{$talk};
        $self->{ready}->remove($talk);
        close $talk;
        return;
    }
    while ($self->{talks}{$talk} =~ s/\A(.*)\n//) {
        my $said = $JSON->decode($1);
        my $do   = $self->can("_do_$said->{do}") // die "nothing is known of $said->{do}\n";
        syswrite $talk, $JSON->encode($do->($self, $said)) . "\n";
    }
}

sub _do_refuse ($self, $) {
    if (my $door = delete $self->{door}) { $self->{ready}->remove($door); close $door }
    return {};
}

sub _do_accept ($self, $) {
    $self->{ready}->add($self->{door} = listen_at($self->{port})) unless $self->{door};
    return {};
}

sub _do_cut ($self, $cut) {
    if (defined $cut->{purchase}) { $self->{cuts}{$cut->{purchase}} = $cut }
    else                          { push @{$self->{next}}, $cut }
    return {};
}

sub _do_held ($self, $) { return {count => scalar grep { !$_->{over} } @{$self->{held}}} }

sub _do_release ($self, $) {
    my @held = grep { !$_->{over} } splice @{$self->{held}};
    for my $link (@held) {
        my ($to, $rest) = delete @$link{qw(held_for held_back)};
        $link->{state} = $to == $link->{server} ? 'answering' : 'plain';
        $self->_write($link, $to, $rest);
    }
    return {count => scalar @held};
}

sub _do_seen ($self, $said) {
    my $seen = $self->{seen};
    if ($said->{forget}) { $self->{seen} = {} }
    return {seen => $seen};
}

sub _do_faults ($self, $) {
    my ($sent, $sessions) = @$self{qw(sent sessions)};
    return {
        orders => scalar keys %$sent,
        killed => $self->{killed} // 0,
        twice  => [sort grep { $sent->{$_} > 1 } keys %$sent],
        shared => [sort grep { $sessions->{$_} eq '' } keys %$sessions],
    };
}

# -- connections

sub _connect ($self) {
    my $client = $self->{door}->accept // return;
    my $server = IO::Socket::INET->new(PeerAddr => $self->{host}, PeerPort => $self->{to});
    if (!$server) { close $client; return }
    my $link = {client => $client, server => $server, state => 'plain', request => '', response => ''};
    @{$self->{links}}{$client, $server} = ($link, $link);
    $self->{ready}->add($client, $server);
}

sub _end ($self, $link, $how = 'fin') {
    return if $link->{over}++;
    for my $end (@$link{qw(client server)}) {
        delete $self->{links}{$end};
        $self->{ready}->remove($end);
        setsockopt $end, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $how eq 'rst';
        close $end;
    }
}

sub _write ($self, $link, $to, $bytes) {
    while (length $bytes) {
        my $sent = syswrite $to, $bytes;
        return $self->_end($link) unless defined $sent;
        substr $bytes, 0, $sent, '';
    }
}

# Whether the message is whole; and how long its head is.
sub _whole ($message) {
    my $head = index $message, "\r\n\r\n";
    return (0, 0) if $head < 0;
    $head += 4;
    my ($body) = substr($message, 0, $head) =~ /^content-length:\s*(\d+)/mi;
    return (defined $body && length $message >= $head + $body, $head);
}

sub _read ($self, $link, $from) {
    my $got = sysread $from, my $bytes, 65_536;
    if (!$got) {
        # An answer that ends early is passed on as it is, up to where it was to be cut.
        $self->_answer($link) if $link->{state} eq 'answering' && $from == $link->{server} && length $link->{response};
        return $self->_end($link);
    }
    if ($from == $link->{client}) {
        my $begun = $link->{state} eq 'plain' && index($bytes, $PLACE) == 0;
        $link->{state} = 'asking' if $begun;
        return $self->_write($link, $link->{server}, $bytes) unless $link->{state} eq 'asking';
        $link->{request} = $begun ? $bytes : $link->{request} . $bytes;
        $self->_order($link) if (_whole($link->{request}))[0];
    }
    elsif ($link->{state} eq 'answering') {
        $link->{response} .= $bytes;
        $self->_answer($link) if (_whole($link->{response}))[0];
    }
    else { $self->_write($link, $link->{client}, $bytes) }
}

# A whole order is there: how much of it goes on?
sub _order ($self, $link) {
    my ($id)      = $link->{request} =~ /"merchant_reference"\s*:\s*"([0-9a-f]{32})/;
    my ($session) = $link->{request} =~ /"klarna_payments_session_id"\s*:\s*"([^"]+)/;
    $id      //= '';
    $session //= '';
    $self->{sent}{$id}++;
    my $owner = $self->{sessions}{$session} //= $id;
    $self->{sessions}{$session} = '' if $owner ne $id;
    my $cut  = $link->{cut} = delete $self->{cuts}{$id} // shift @{$self->{next}};
    my $seen = $link->{seen} = $self->{seen}{$id} //= {sent => 0, cut => 0};
    $seen->{sent}++;
    $seen->{session} = $session;
    @$seen{qw(request request_head)} = (length $link->{request}, (_whole($link->{request}))[1]);
    $link->{state} = 'answering';
    return $self->_cut($link, 'request', $link->{server}) if $cut && defined $cut->{request};
    $self->_write($link, $link->{server}, $link->{request});
}

sub _answer ($self, $link) {
    @{$link->{seen}}{qw(response response_head)} = (length $link->{response}, (_whole($link->{response}))[1]);
    return $self->_cut($link, 'response', $link->{client}) if $link->{cut} && defined $link->{cut}{response};
    $link->{state} = 'plain';
    $self->_write($link, $link->{client}, $link->{response});
}

sub _cut ($self, $link, $side, $to) {
    my ($cut, $bytes) = @$link{'cut', $side};
    my $how   = $cut->{how};
    my $where = $cut->{$side};
    $link->{seen}{cut} = 1;
    if ($how =~ /\A\d/) {
        my $body = $JSON->encode({code => 'internal_server_error', message => 'A proxy failed'});
        $self->_write($link, $link->{client}, "HTTP/1.1 $how Failed\r\nContent-Type: application/json\r\nContent-Length: "
            . length($body) . "\r\nConnection: close\r\n\r\n$body");
        return $self->_end($link);
    }
    $where = (_whole($bytes))[1] if $where eq 'head';
    $where = length $bytes       if $where eq 'end' || $where > length $bytes;
    $self->_write($link, $to, substr $bytes, 0, $where);
    if ($how eq 'hold') {
        @$link{qw(state held_for held_back)} = ('held', $to, substr $bytes, $where);
        push @{$self->{held}}, $link;
        return;
    }
    $self->{killed} += _kill($link->{client}, $cut->{parent}) if $how eq 'kill';
    $self->_end($link, $how);
}

# Kills the child of `$parent` at the other end of the socket. Returns how many that were.
sub _kill ($socket, $parent) {
    my $inode = _inode_of_peer($socket) || return 0;
    my $list  = "/proc/$parent/task/$parent/children";    # may lack some while others end: then all are asked
    my $all   = sub { grep { PWK::Server::slurp("/proc/$_/stat") =~ /\) \S $parent / } map { m{(\d+)\z} } glob '/proc/[0-9]*' };
    for my $pids (sub { split ' ', PWK::Server::slurp($list) }, $all) {
        for my $pid ($pids->()) {
            return kill KILL => $pid if grep { (readlink // '') eq "socket:[$inode]" } glob "/proc/$pid/fd/*";
        }
    }
    return 0;
}

# By which /proc knows the socket at the other end. The kernel is asked for the one (sock_diag(7)); the whole table is read only
# where it does not answer, since after many connections that takes long.
sub _inode_of_peer ($socket) {
    my @ends = ([$socket->peeraddr, $socket->peerport], [$socket->sockaddr, $socket->sockport]);
    my ($family, $protocol, $by_family, $request) = (2, 6, 20, 1);
    my $wanted = pack 'CCCC L nn a16a16 L LL', $family, $protocol, 0, 0, 0xffff_ffff, $ends[0][1], $ends[1][1], $ends[0][0], $ends[1][0],
        0, 0xffff_ffff, 0xffff_ffff;
    if (socket my $kernel, 16, SOCK_RAW, 4) {
        setsockopt $kernel, SOL_SOCKET, SO_RCVTIMEO, pack 'l!l!', 1, 0;
        send $kernel, pack('LSSLL', 16 + length $wanted, $by_family, $request, 1, 0) . $wanted, 0;
        recv $kernel, my $answer, 8192, 0;
        my ($length, $type) = unpack 'LS', $answer // '';
        return unpack 'x84 L', $answer if ($type // 0) == $by_family && length $answer >= 88;
    }
    my $both = join ' ', map { sprintf '%08X:%04X', unpack('L', $_->[0]), $_->[1] } @ends;
    return PWK::Server::slurp('/proc/net/tcp') =~ /: \Q$both\E (?:\S+\s+){6}(\d+)/ ? $1 : 0;
}

1;
