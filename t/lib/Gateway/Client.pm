package Gateway::Client;

=head1 NAME

Gateway::Client - HTTP clients, one or hundreds at once

=head1 SYNOPSIS

    my $r = get($g, '/');            # {code, headers, body, time, error}
    my $r = get($g, '/', headers => { 'X-Api-Key' => 'k' }, timeout => 5);
    my $r = request($g, 'POST', '/clients', body => '{}', headers => {...});
    print $r->{headers}{'retry-after'};

    my $l = load($g, '/', connections => 64, requests => 10000);
    my $l = load($g, '/', connections => 64, seconds => 5);
    my $l = load($g, sub { my ($i) = @_; "/$i" }, requests => 10,
                 each => sub { my ($response, $i) = @_; ... });
    print "$l->{codes}{200} of $l->{total} in $l->{seconds} s, "
          . "$l->{errors} errors";

    my $c = client($g);              # one connection, by hand
    $c->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    my $r = $c->response;            # undef when the server closed
    $c->reset;                       # the client has gone, with a RST

=head1 DESCRIPTION

A response without a status has C<code> 0 and says in C<error> why.  Options
of C<load>: connections (1), requests or seconds, keepalive (1), method (GET),
headers (hash, or code of the number of the request), body, host, timeout
(30 s, of one request), each (called with every response), retry (send again
what a connection that was used before closed without a byte, as browsers
do).  It returns total,
codes (hash), errors (number of those with code 0), error (text of the
first), seconds, first and last (time of the first and last response), and
bodies (hash: how often each came).

=cut

use v5.28;
use warnings;

use Errno qw(EAGAIN EINPROGRESS EINTR);
use Exporter qw(import);
use IO::Poll qw(POLLIN POLLOUT POLLHUP POLLERR);
use Socket qw(AF_INET AF_UNIX SOCK_STREAM SOL_SOCKET SO_ERROR SO_LINGER
              inet_aton pack_sockaddr_in pack_sockaddr_un);
use Time::HiRes qw(time);

our @EXPORT_OK = qw(client get load request);


sub client  { return Gateway::Client->new(@_) }
sub get     { my ($where, $uri, @o) = @_;
              return request($where, 'GET', $uri, @o) }


sub request
{
    my ($where, $method, $uri, %option) = @_;

    my $response;
    load($where, $uri, requests => 1, keepalive => 0, %option,
         method => $method, each => sub { ($response) = @_ });

    return $response;
}


# A packed address of a gateway, a port, host:port or unix:/path.

sub address
{
    my ($where) = @_;

    $where = $where->port if ref $where;

    if ($where =~ /^unix:(.*)/) {
        return (AF_UNIX, pack_sockaddr_un($1));
    }

    my ($host, $port) = $where =~ /^(?:(.*):)?(\d+)$/
        or die "no address: $where\n";

    return (AF_INET, pack_sockaddr_in($port, inet_aton($host // '127.0.0.1')));
}


# Starts to connect, without waiting.

sub dial
{
    my ($family, $address) = @_;

    socket(my $sock, $family, SOCK_STREAM, 0) or die "socket: $!\n";
    $sock->blocking(0);
    connect($sock, $address) || $! == EINPROGRESS || $! == EAGAIN
        or return (undef, "connect: $!");

    return ($sock, undef);
}


sub head
{
    my ($method, $uri, $o, $i) = @_;

    my $headers = ref $o->{headers} eq 'CODE' ? $o->{headers}->($i)
                : $o->{headers} // {};
    my $body = $o->{body} // '';

    my %h = (Host => $o->{host} // 'localhost', %$headers);
    $h{'Content-Length'} //= length $body
        if $body ne '' || $method =~ /^(?:POST|PUT|PATCH)$/;
    $h{Connection} //= $o->{keepalive} ? 'keep-alive' : 'close';

    return "$method $uri HTTP/1.1\r\n"
           . join('', map { "$_: $h{$_}\r\n" } sort keys %h) . "\r\n$body";
}


sub load
{
    my ($where, $uri, %o) = @_;

    local $SIG{PIPE} = 'IGNORE';

    $o{keepalive}   //= 1;
    $o{connections} //= 1;
    $o{timeout}     //= 30;
    $o{method}      //= 'GET';

    my @address = address($where);
    my $begin   = time();
    my $end     = defined $o{seconds} ? $begin + $o{seconds} : undef;
    my $poll    = IO::Poll->new;
    my $started = 0;
    my %conns;

    my %result = (total => 0, codes => {}, errors => 0, bodies => {});

    my $more = sub {
        return defined $end ? time() < $end
                            : $started < ($o{requests} // 1);
    };

    my $close = sub {
        my ($c) = @_;
        return if !defined $c->{sock};
        $poll->remove($c->{sock});
        delete $conns{ fileno($c->{sock}) };
        close(delete $c->{sock});
    };

    my $done;
    my $open = sub {
        my ($c) = @_;

        ($c->{sock}, my $error) = dial(@address);

        if (!defined $c->{sock}) {
            $done->($c, { code => 0, error => $error });
            return 0;
        }

        $c->{fresh}  = 1;
        $c->{broken} = undef;
        $c->{out}    = $c->{request};
        $conns{ fileno($c->{sock}) } = $c;
        $poll->mask($c->{sock} => POLLIN | POLLOUT);

        return 1;
    };

    my $next = sub {
        my ($c) = @_;

        while ($more->()) {
            my $i    = $started++;
            my $path = ref $uri ? $uri->($i) : $uri;

            $c->{i}       = $i;
            $c->{begin}   = time();
            $c->{in}      = '';
            $c->{broken}  = undef;
            $c->{request} = head($o{method}, $path, \%o, $i);

            if (defined $c->{sock}) {
                $c->{out} = $c->{request};
                $poll->mask($c->{sock} => POLLIN | POLLOUT);
                return;
            }

            return if $open->($c);
        }

        $close->($c);
    };

    $done = sub {
        my ($c, $r) = @_;

        $r->{time} = time() - $c->{begin};
        $result{total}++;
        $result{codes}{ $r->{code} }++;
        $result{bodies}{ $r->{body} }++
            if defined $r->{body} && length $r->{body} <= 1024;
        $result{first} //= time();
        $result{last} = time();

        if ($r->{code} == 0) {
            $result{errors}++;
            $result{error} //= $r->{error};
        }

        $o{each}->($r, $c->{i}) if $o{each};
    };

    $next->({}) for 1 .. $o{connections};

    while (%conns) {
        $poll->poll(0.1);

        for my $sock ($poll->handles(POLLIN | POLLOUT | POLLHUP | POLLERR)) {
            my $c = $conns{ fileno($sock) // -1 } // next;
            my $r = step($c, $poll, $o{method}) // next;

            if ($o{retry} && $r->{code} == 0 && !delete $c->{fresh}
                && $c->{in} eq '')
            {
                $close->($c);
                $open->($c) || $next->($c);
                next;
            }

            delete $c->{fresh};
            $close->($c) if $r->{close} || !$o{keepalive};
            $done->($c, $r);
            $next->($c);
        }

        my $now = time();
        for my $c (values %conns) {
            next if $now - $c->{begin} < $o{timeout};

            $close->($c);
            $done->($c, { code => 0, error => 'timed out' });
            $next->($c);
        }
    }

    $result{seconds} = time() - $begin;

    return \%result;
}


# One turn of a connection: a response when it is complete, else undef.

sub step
{
    my ($c, $poll, $method) = @_;

    if ($c->{out} ne '') {
        my $n = syswrite($c->{sock}, $c->{out});

        if (defined $n) {
            substr($c->{out}, 0, $n) = '';
        } elsif ($! != EAGAIN && $! != EINTR) {
            # the server may have answered before it closed
            $c->{broken} = "write: $!";
            $c->{out}    = '';
        }

        $poll->mask($c->{sock} => POLLIN) if $c->{out} eq '';
    }

    my $n = sysread($c->{sock}, $c->{in}, 65536, length $c->{in});

    if (!defined $n && ($! == EAGAIN || $! == EINTR)) {
        return undef if !defined $c->{broken};
        return { code => 0, error => $c->{broken}, close => 1 };
    }

    my $closed = !$n;
    my $why    = $c->{broken} // (defined $n ? 'closed' : "read: $!");
    my $r      = parse(\$c->{in}, $closed, $method);

    return $r if defined $r;
    return undef if !$closed;

    $why .= ' in the middle of a response' if $c->{in} ne '';
    return { code => 0, error => $why, close => 1 };
}


# Takes a response off the buffer; undef when more is needed.

sub parse
{
    my ($in, $closed, $method) = @_;

    $$in =~ /^(.*?\r\n\r\n)/s or return undef;
    my $head = $1;
    my ($code) = $head =~ m{^HTTP/1\.[01] (\d{3})} or return undef;

    my %headers;
    for my $line (split /\r\n/, $head) {
        my ($key, $value) = $line =~ /^([^:\s]+):\s*(.*?)\s*$/ or next;
        $key = lc $key;
        $headers{$key} = exists $headers{$key} ? "$headers{$key}, $value"
                                               : $value;
    }

    if ($code < 200) {
        substr($$in, 0, length $head) = '';
        return parse($in, $closed, $method);
    }

    my $from = length $head;
    my $body;

    if ($method eq 'HEAD' || $code == 204 || $code == 304) {
        $body = '';

    } elsif (($headers{'transfer-encoding'} // '') eq 'chunked') {
        my $at = $from;
        $body = '';

        while (1) {
            pos($$in) = $at;
            $$in =~ /\G([0-9a-fA-F]+)[^\r\n]*\r\n/g or return undef;

            my ($size, $data) = (hex $1, pos $$in);
            return undef if length $$in < $data + $size + 2;

            $body .= substr($$in, $data, $size);
            $at = $data + $size + 2;
            last if $size == 0;
        }

        $from = $at;

    } elsif (defined $headers{'content-length'}) {
        return undef if length $$in < $from + $headers{'content-length'};

        $body = substr($$in, $from, $headers{'content-length'});
        $from += length $body;

    } else {
        return undef if !$closed;

        $body = substr($$in, $from);
        $from = length $$in;
    }

    substr($$in, 0, $from) = '';

    return {
        code    => $code,
        headers => \%headers,
        head    => $head,
        body    => $body,
        close   => $closed || ($headers{connection} // '') =~ /close/i ? 1 : 0,
    };
}


# A connection by hand.

sub new
{
    my ($class, $where) = @_;

    my ($sock, $error) = dial(address($where));
    die "$error\n" if !defined $sock;

    my $poll = IO::Poll->new;
    $poll->mask($sock => POLLOUT);
    $poll->poll(10);

    my $errno = unpack('i', getsockopt($sock, SOL_SOCKET, SO_ERROR));
    if ($errno) {
        $! = $errno;
        die "connect: $!\n";
    }

    return bless { sock => $sock, in => '', out => '', poll => $poll }, $class;
}


sub send
{
    my ($self, $text) = @_;

    $self->{sock}->blocking(1);
    local $SIG{PIPE} = 'IGNORE';
    my $n = syswrite($self->{sock}, $text);
    $self->{sock}->blocking(0);

    return $n;
}


sub reset
{
    my ($self) = @_;

    setsockopt($self->{sock}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
    close($self->{sock});
}


# The next response, or undef when the server closed, or let us wait too long.

sub response
{
    my ($self, %option) = @_;

    my $method = $option{method} // 'GET';
    my $end    = time() + ($option{timeout} // 30);

    $self->{poll}->mask($self->{sock} => POLLIN);

    if ($self->{in} ne '') {
        my $r = parse(\$self->{in}, 0, $method);
        return $r if $r;
    }

    while (time() < $end) {
        $self->{poll}->poll($end - time());
        next if !$self->{poll}->events($self->{sock});

        my $r = step($self, $self->{poll}, $method) // next;
        return $r->{code} ? $r : undef;
    }

    return undef;
}


sub close { CORE::close($_[0]{sock}) }


1;
