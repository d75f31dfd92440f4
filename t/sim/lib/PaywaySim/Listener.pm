package PaywaySim::Listener;

# One role on one port: reads a request, lets the fault in that a test has ordered, and sends the role's answer.

use Mojo::Base -base, -signatures;
use Mojo::IOLoop;
use Mojo::Server::Daemon;
use PaywaySim::Answer qw(json);
use PaywaySim::Request;

# handler: an object with answer($request). Only requests to journalled roles meet faults.
has [qw(sim name handler address port journalled)];

sub start ($self) {
    my $at = 'http://' . $self->address . ($self->port ? ':' . $self->port : '');
    $self->{daemon} = Mojo::Server::Daemon->new(
        listen             => [$at],
        silent             => 1,
        inactivity_timeout => 0,
        keep_alive_timeout => 60,
        max_requests       => 10_000,
    );
    $self->{daemon}->unsubscribe('request')->on(request => sub ($daemon, $tx) { $self->_serve($tx) });
    $self->{daemon}->start;
    return $self->port($self->{daemon}->ports->[0]);
}

sub url ($self) { return 'http://' . $self->address . ':' . $self->port }

sub _serve ($self, $tx) {
    if ($tx->req->error) { return $self->_send($tx, json(400, {message => 'Not an HTTP request'})) }
    my $request = PaywaySim::Request->from_tx($self->name, $tx);
    return $self->_send($tx, $self->_act($request)) unless $self->journalled;

    my $journal = $self->sim->journal;
    my $fault   = $self->sim->faults->take($request);
    my $entry   = $journal->open_entry($request, $fault);
    my $act     = sub {
        my $answer = $self->_act($request);
        $journal->note($entry, $request);
        return $answer;
    };
    my $send = sub ($answer) {
        $journal->note($entry, $request, $answer->{status});
        $self->sim->say($self->name, $request->method, $request->path, $answer->{status});
        $self->_send($tx, $answer, $fault);
    };
    return $fault ? $self->_serve_fault($tx, $fault, $act, $send) : $send->($act->());
}

sub _serve_fault ($self, $tx, $fault, $act, $send) {
    my $faults = $self->sim->faults;
    my $kind   = $fault->{kind};
    my $answer = $faults->acts($fault) ? $act->() : undef;
    if ($kind eq 'delay') {
        return Mojo::IOLoop->timer($fault->{seconds} // 1, sub ($loop) { $send->($answer // $act->()) });
    }
    if ($kind eq 'hang') {
        Mojo::IOLoop->timer($fault->{seconds}, sub ($loop) { $self->_cut($tx) }) if defined $fault->{seconds};
        return;
    }
    return $self->_cut($tx) if $kind eq 'cut_before' || $kind eq 'cut_after';
    return $send->($answer) if $kind eq 'cut_body'   || $kind eq 'slow_drip';
    return $send->($faults->spoil($fault, $answer));
}

sub _cut ($self, $tx) {
    my $stream = Mojo::IOLoop->stream($tx->connection // '') or return;
    $stream->close;
}

# A refusal is an answer that was thrown; anything else thrown is a defect of the simulator, and said loudly.
sub _act ($self, $request) {
    my $answer = eval { $self->handler->answer($request) };
    return $answer if $answer;
    return $@      if ref $@ eq 'HASH' && $@->{status};
    print STDERR 'payway-sim: ', $request->method, ' ', $request->path, ": $@";
    return json(500, {code => 'internal_server_error', message => 'The simulator failed'});
}

sub _send ($self, $tx, $answer, $fault = undef) {
    my $res     = $tx->res->code($answer->{status});
    my $headers = $res->headers;
    $headers->content_type($answer->{type}) if defined $answer->{type};
    $headers->header($_ => $answer->{headers}{$_}) for keys %{$answer->{headers}};
    my $kind = $fault ? $fault->{kind} : '';
    return $self->_send_slowly($tx, $answer->{body}, $kind, $fault) if $kind eq 'cut_body' || $kind eq 'slow_drip';
    $res->body($answer->{body});
    $tx->resume;
}

sub _send_slowly ($self, $tx, $body, $kind, $fault) {
    my $content = $tx->res->content;
    $content->headers->content_length(length $body);
    if ($kind eq 'cut_body') {
        # Not at once: the server is still writing when it says that all is written.
        my $cut = sub ($content, $offset = undef) { Mojo::IOLoop->next_tick(sub ($loop) { $self->_cut($tx) }) };
        $content->write(substr($body, 0, length($body) / 2), $cut);
        return $tx->resume;
    }
    my $next = 0;
    my $drip = sub ($drip) {
        return unless $tx->connection && Mojo::IOLoop->stream($tx->connection);
        $content->write(substr $body, $next++, 1);
        $tx->resume;
        Mojo::IOLoop->timer($fault->{seconds} // 1, sub ($loop) { $drip->($drip) }) if $next < length $body;
    };
    $drip->($drip);
}

1;
