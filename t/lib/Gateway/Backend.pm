package Gateway::Backend;

=head1 NAME

Gateway::Backend - an HTTP server that behaves, and misbehaves, as told

=head1 SYNOPSIS

    my $b = backend(name => 'a');           # 127.0.0.1, a free port
    my $b = backend(name => 'a', unix => 1);
    my $b = backend(name => 'a', answer => sub {
        my ($r) = @_;                       # {method, uri, headers, body, n}
        return { status => $r->{n} == 1 ? 503 : 200, body => 'x' };
    });

    print $b->server;                       # "server 127.0.0.1:12345;"
    print $b->server('weight=2');
    $b->behave(status => 503, delay => 0.1);  # all requests from now on
    $b->behave;                               # as before
    print scalar $b->requests;              # URIs asked for, in order

    $b->kill; $b->stop; $b->start_again;    # the port remains
    $b->pause; $b->resume;                  # SIGSTOP, SIGCONT

=head1 DESCRIPTION

Answers C<{"backend":"NAME","uri":"..."}> with the headers C<X-Backend> and
C<X-Busy>, which is how many requests it had when this one came, with it.  The
behaviour of a request comes from C<behave>, then C<answer>, then its own
arguments (C<GET /?status=500&delay=0.2>):

    status=N     delay=SECONDS before the answer     size=BYTES of body
    body=TEXT    headers={...} (answer and behave only)
    action=reset       reset the connection instead of an answer
    action=close       close it instead
    action=hang        never answer
    action=mid-header  half of the header, then reset
    action=mid-body    half of the body, then close

=cut

use v5.28;
use warnings;

use Errno qw(EAGAIN EINTR);
use IO::Poll qw(POLLIN POLLOUT POLLHUP POLLERR);
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP ();
use POSIX ();
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(time);

use Gateway::Process qw(finish fork_child free_port temp_dir wait_exit
                        wait_for);

my $next = 'a';


# The port of a server that reads a request's header, sends these bytes, and
# then closes, or if it is not to end waits for the other side to do so.

sub raw
{
    my ($answer, $end) = @_;
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64)
        or die "listen: $!";

    fork_child(sub {
        $SIG{CHLD} = 'IGNORE';

        while (my $c = $listen->accept) {
            next if fork();
            my $head = '';
            1 while $head !~ /\r\n\r\n/ && sysread($c, $head, 4096, length $head);
            syswrite($c, $answer);
            1 while !$end && sysread($c, $head, 4096);
            exit 0;
        }
    });

    return $listen->sockport;
}


sub start
{
    my ($class, %option) = @_;

    my $dir = temp_dir();

    my $self = bless {
        name => $option{name} // $next++,
        host => $option{host} // '127.0.0.1',
        dir  => $dir,
        %option,
    }, $class;

    $self->{path} = "$dir/socket" if $self->{unix};
    $self->{port} //= free_port() if !$self->{unix};

    $self->start_again;

    return $self;
}


sub name { $_[0]{name} }
sub port { $_[0]{port} }
sub pid  { $_[0]{pid} }


sub address
{
    my ($self) = @_;

    return $self->{unix} ? "unix:$self->{path}"
                         : "$self->{host}:$self->{port}";
}


sub server
{
    my ($self, @parameters) = @_;

    return join(' ', 'server', $self->address, @parameters) . ';';
}


# The socket is bound before the fork, so it takes connections on return.

sub start_again
{
    my ($self) = @_;

    unlink($self->{path}) if $self->{unix};

    my $listen = wait_for(sub {
        $self->{unix}
            ? IO::Socket::UNIX->new(Local => $self->{path}, Listen => 4096)
            : IO::Socket::INET->new(LocalAddr => $self->{host},
                                    LocalPort => $self->{port},
                                    ReuseAddr => 1, Listen => 4096)
    }) or die "cannot listen on " . $self->address . ": $!\n";

    $self->{pid} = fork_child(sub { $self->serve($listen) });
}


sub kill   { finish($_[0]{pid}) }
sub stop   { CORE::kill('TERM', $_[0]{pid}); wait_exit($_[0]{pid}, 10) }
sub pause  { CORE::kill('STOP', $_[0]{pid}) }
sub resume { CORE::kill('CONT', $_[0]{pid}) }


sub behave
{
    my ($self, %behaviour) = @_;

    my $path = "$self->{dir}/behaviour";

    if (!%behaviour) {
        unlink($path);
        return;
    }

    open(my $out, '>', "$path.new") or die "$path: $!\n";
    print $out JSON::PP::encode_json(\%behaviour);
    close($out);
    rename("$path.new", $path);
}


sub requests
{
    my ($self) = @_;

    open(my $in, '<', "$self->{dir}/requests") or return;
    chomp(my @uris = <$in>);

    return @uris;
}


# From here on, the child.

sub serve
{
    my ($self, $listen) = @_;

    open(my $log, '>>', "$self->{dir}/requests") or die "requests: $!\n";
    $log->autoflush(1);

    $SIG{PIPE} = 'IGNORE';
    $listen->blocking(0);

    my $poll = IO::Poll->new;
    my $c = {
        self => $self, poll => $poll, log => $log, conns => {}, n => 0,
    };

    $poll->mask($listen => POLLIN);

    while (1) {
        my ($first) = sort { $a <=> $b }
                      map { $_->{due} // () } values %{ $c->{conns} };
        my $wait = defined $first ? $first - time() : 60;

        $poll->poll($wait < 0 ? 0 : $wait);

        for my $sock ($poll->handles(POLLIN | POLLHUP | POLLERR)) {
            if ($sock == $listen) {
                while (my $new = $listen->accept) {
                    $new->blocking(0);
                    $c->{conns}{$new} = { sock => $new, in => '', out => '' };
                    $poll->mask($new => POLLIN);
                }
            } elsif (my $conn = $c->{conns}{$sock}) {
                receive($c, $conn);
            }
        }

        my $now = time();
        for my $conn (values %{ $c->{conns} }) {
            if (defined $conn->{due} && $conn->{due} <= $now) {
                delete $conn->{due};
                answer($c, $conn);
            }
            flush_out($c, $conn) if $conn->{out} ne '';
        }
    }
}


sub drop
{
    my ($c, $conn, $reset) = @_;

    my $sock = $conn->{sock};

    setsockopt($sock, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) if $reset;
    $c->{poll}->remove($sock);
    delete $c->{conns}{$sock};
    close($sock);
}


sub receive
{
    my ($c, $conn) = @_;

    my $n = sysread($conn->{sock}, $conn->{in}, 65536, length $conn->{in});

    if (!defined $n) {
        drop($c, $conn) if $! != EAGAIN && $! != EINTR;
        return;
    }

    if ($n == 0) {
        drop($c, $conn);
        return;
    }

    next_request($c, $conn);
}


sub next_request
{
    my ($c, $conn) = @_;

    return if $conn->{request} || $conn->{in} !~ /^(.*?)\r?\n\r?\n/s;

    my $head = $1;
    my $from = $+[0];
    my ($line, @lines) = split /\r?\n/, $head;
    my ($method, $uri, $version) = split ' ', $line;
    my %headers = map { /^([^:]+):\s*(.*)$/ ? (lc $1 => $2) : () } @lines;
    my $length = $headers{'content-length'} // 0;

    return if length $conn->{in} < $from + $length;

    my $body = substr($conn->{in}, $from, $length);
    substr($conn->{in}, 0, $from + $length) = '';

    syswrite($c->{log}, "$uri\n");

    my $keep = ($headers{connection} // '') =~ /close/i ? 0
             : ($version // '') eq 'HTTP/1.1'
               || ($headers{connection} // '') =~ /keep-alive/i;

    my %request = (method => $method, uri => $uri, headers => \%headers,
                   body => $body, n => ++$c->{n}, keep => $keep,
                   busy => 1 + grep { $_->{request} } values %{ $c->{conns} });
    $conn->{request} = \%request;

    my %do = $uri =~ /\?/
           ? map { s/%([0-9a-f]{2})/chr hex $1/gier }
             map { /^([^=]*)=(.*)$/s ? ($1, $2) : ($_, 1) }
             split /&/, $uri =~ s/^[^?]*\?//r
           : ();
    if (my $code = $c->{self}{answer}) {
        %do = (%do, %{ $code->(\%request) // {} });
    }
    if (open(my $in, '<', "$c->{self}{dir}/behaviour")) {
        %do = (%do, %{ JSON::PP::decode_json(<$in>) });
    }
    $conn->{do} = \%do;

    if (($do{action} // '') eq 'hang') {
        return;
    }

    if ($do{delay}) {
        $conn->{due} = time() + $do{delay};
    } else {
        answer($c, $conn);
    }
}


sub answer
{
    my ($c, $conn) = @_;

    my $r      = delete $conn->{request};
    my %do     = %{ $conn->{do} };
    my $action = $do{action} // '';

    if ($action eq 'reset' || $action eq 'close') {
        drop($c, $conn, $action eq 'reset');
        return;
    }

    my $name   = $c->{self}{name};
    my $status = $do{status} // 200;
    my $body   = $do{body} // (defined $do{size} ? 'x' x $do{size}
                 : qq({"backend":"$name","uri":"$r->{uri}"}\n));
    my %headers = (
        'Content-Type' => 'application/json',
        'X-Backend'    => $name,
        'X-Busy'       => $r->{busy},
        'Connection'   => $r->{keep} ? 'keep-alive' : 'close',
        %{ $do{headers} // {} },
    );
    $headers{'Content-Length'} //= length $body
        if $status != 204 && $status != 304;

    my $head = "HTTP/1.1 $status Status\r\n"
               . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers)
               . "\r\n";
    $body = '' if $r->{method} eq 'HEAD' || $status == 204 || $status == 304;

    if ($action eq 'mid-header') {
        syswrite($conn->{sock}, substr($head, 0, length($head) / 2));
        drop($c, $conn, 1);
        return;
    }

    if ($action eq 'mid-body') {
        syswrite($conn->{sock},
                 $head . substr($body, 0, length($body) / 2));
        drop($c, $conn);
        return;
    }

    $conn->{out} .= $head . $body;
    $conn->{last} = !$r->{keep};

    flush_out($c, $conn);
}


sub flush_out
{
    my ($c, $conn) = @_;

    my $n = syswrite($conn->{sock}, $conn->{out});

    if (!defined $n) {
        drop($c, $conn) if $! != EAGAIN && $! != EINTR;
        return;
    }

    substr($conn->{out}, 0, $n) = '';

    if ($conn->{out} ne '') {
        $c->{poll}->mask($conn->{sock} => POLLIN | POLLOUT);
        return;
    }

    if ($conn->{last}) {
        drop($c, $conn);
        return;
    }

    $c->{poll}->mask($conn->{sock} => POLLIN);
    next_request($c, $conn);
}


1;
