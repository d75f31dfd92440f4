package PWK::Workers;

# A few processes that do a test's work side by side.
#
#     my $workers = PWK::Workers->start(4, sub ($job) { …; return $result });
#     $workers->run($jobs, sub ($result) { … });
#
# What the code keeps in its variables stays with the process. Jobs and results are plain data.

use v5.36;
use Carp       qw(croak);
use IO::Select ();
use POSIX      ();
use Socket     qw(AF_UNIX PF_UNSPEC SOCK_STREAM);
use Storable   qw(freeze thaw);
use Time::HiRes qw(time);

use constant TICK_SECONDS => 0.25;

sub start ($class, $count, $work) {
    my $self = bless {owner => $$, ends => [], pids => []}, $class;
    for my $number (1 .. $count) {
        socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC or croak "socketpair: $!";
        my $pid = fork // croak "fork: $!";
        if (!$pid) {
            close $_ for $ours, @{$self->{ends}};
            $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
            while (defined(my $job = _receive($theirs))) {
                my $result = eval { [1, $work->($$job)] } // [0, "$@"];
                _send($theirs, $result);
            }
            POSIX::_exit(0);
        }
        close $theirs;
        push @{$self->{ends}}, $ours;
        push @{$self->{pids}}, $pid;
    }
    return $self;
}

# `$jobs`: a list, or code that gives the next one each time, and nothing at the end. `$done` is called with each result, `$tick`
# several times a second. Dies with what a worker died of.
sub run ($self, $jobs, $done, $tick = sub { }) {
    my @list = ref $jobs eq 'ARRAY' ? @$jobs : ();
    my $next = ref $jobs eq 'ARRAY' ? sub { shift @list } : $jobs;
    my @idle = @{$self->{ends}};
    my $busy = IO::Select->new;
    my $last = time;
    my $more = 1;
    while (1) {
        while ($more && @idle) {
            my $job = $next->();
            if (!defined $job) { $more = 0; last }
            _send($idle[0], \$job);
            $busy->add(shift @idle);
        }
        return $self unless $busy->count;
        for my $end ($busy->can_read(TICK_SECONDS)) {
            my ($ok, @result) = @{_receive($end) // croak 'a worker is gone'};
            croak "a worker: $result[0]" unless $ok;
            $busy->remove($end);
            push @idle, $end;
            $done->(@result);
        }
        if (time - $last >= TICK_SECONDS) { $tick->(); $last = time }
    }
}

sub _send ($to, $data) {
    my $bytes = freeze $data;
    $bytes = pack('N', length $bytes) . $bytes;
    local $SIG{PIPE} = 'IGNORE';
    while (length $bytes) {
        my $sent = syswrite $to, $bytes;
        croak "a worker is gone: $!" unless defined $sent;
        substr $bytes, 0, $sent, '';
    }
}

sub _receive ($from) {
    my $take = sub ($length) {
        my $bytes = '';
        while (length $bytes < $length) { sysread $from, $bytes, $length - length $bytes, length $bytes or return }
        return $bytes;
    };
    my $length = $take->(4) // return;
    return thaw($take->(unpack 'N', $length) // return);
}

sub stop ($self) {
    return unless $self->{owner} == $$;
    local ($?, $!);
    close $_ for splice @{$self->{ends}};
    my @pids = splice @{$self->{pids}};
    kill TERM => @pids;
    waitpid $_, 0 for @pids;
}

sub DESTROY ($self) { $self->stop }

1;
