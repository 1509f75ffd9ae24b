package Test::Nginx::Client;

# The HTTP client of a Test::Nginx suite: makes the bytes of a request out of
# the sections of a block, exchanges them, takes a response apart.

use v5.28;
use warnings;

use Errno qw(EAGAIN EINTR);
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(sleep);


# The requests of a block, each a list of packets {value, delay_before}.

sub requests
{
    my ($block, $host, $expand) = @_;

    my $raw = $block->raw_request;

    if (defined $raw) {
        return [map { { value => $_ } } ref $raw ? @$raw : $raw];
    }

    my $headers = sub {
        my ($i) = @_;

        my $h = $block->more_headers // '';
        return parse_more_headers(ref $h ? $h->[$i]
                                  // die "no more_headers for request $i\n"
                                  : $h);
    };

    if (my $pipelined = $block->pipelined_requests) {
        my $i = 0;
        return [{
            value => join '', map {
                my $last = $i == $#$pipelined;
                build([$expand->($_)], $host, $last ? 'close' : 'keep-alive',
                      $headers->($i++))->[0]{value}
            } @$pipelined
        }];
    }

    my $request = $block->request // return;

    if (!ref $request) {
        1 while $request =~ s/^\s*\#[^\n]+\s+|^\s+//gs;
        $request = [$request];
    }

    my $i = 0;
    return map {
        build(ref $_ ? $_ : [$_], $host, 'close', $headers->($i++))
    } @$request;
}


# (text of the headers, whether the body is chunked already)

sub parse_more_headers
{
    my ($text) = @_;

    my ($out, $chunked) = ('', 0);

    for my $line (split /\n+/, $text) {
        next if $line =~ /^\s*\#/;

        my ($key, $value) = split /:\s*/, $line, 2;
        $value //= '';
        $chunked = 1
            if lc $key eq 'transfer-encoding' && $value eq 'chunked';
        $out .= "$key: $value\r\n";
    }

    return ($out, $chunked);
}


# Completes a request: version, Host, Connection, Content-Length.  One that is
# given in several packets keeps its division, with the headers going out with
# the packet in which the request line ends.

sub build
{
    my ($packets, $host, $connection, $more, $chunked) = @_;

    my @packets = map { ref $_ ? {%$_} : { value => $_ } } @$packets;
    my $text    = join '', map { $_->{value} } @packets;

    my ($line, $body) = $text =~ /^([^\n]*)\n?(.*)$/s;
    my ($method, $url, $version) = split ' ', $line;
    die "the request line is empty\n" if !defined $method;

    $url     //= '/';
    $version //= 'HTTP/1.1';

    my $length = '';
    if (!$chunked && $body ne '' && $more !~ /^Content-Length:/m) {
        $body =~ s/^\s+|\s+$//g;
        $length = 'Content-Length: ' . length($body) . "\r\n";
    }

    my $head = "$method $url $version\r\n";
    $head .= "Host: $host\r\n" if $more !~ /^Host:/mi;
    $head .= "Connection: $connection\r\n" if $more !~ /^Connection/mi;
    $head .= "$more$length\r\n";

    return [{ value => $head . $body }] if @packets == 1;

    # where the packets of the text part, seen from the request line's end

    my @out;
    my $from = -length($text =~ s/\n.*//sr) - ($text =~ /\n/ ? 1 : 0);

    for my $packet (@packets) {
        my $to = $from + length($packet->{value});

        $packet->{value} =
              $to <= 0   ? ''
            : $from <= 0 ? $head . substr($body, 0, $to)
            : $from < length($body) ? substr($body, $from, $to - $from)
            : '';
        $from = $to;

        push @out, $packet;
    }

    $out[-1]{value} = $head if $from <= 0;

    return \@out;
}


# Sends the packets and reads until the server closes: {text, error}.

sub exchange
{
    my ($packets, %o) = @_;

    my $sock;
    for my $try (1 .. 50) {
        $sock = IO::Socket::INET->new(PeerAddr => $o{addr},
                                      PeerPort => $o{port},
                                      Timeout  => $o{timeout});
        last if $sock;
        sleep(0.02 * $try);
    }

    return { text => '', error => "cannot connect to $o{addr}:$o{port}: $!" }
        if !$sock;

    local $SIG{PIPE} = 'IGNORE';

    $sock->blocking(0);

    my @queue = @$packets;
    my $out   = shift(@queue)->{value};
    my $in    = '';
    my $sel   = IO::Select->new($sock);
    my $sent;

    while (1) {
        my ($readable, $writable) =
            IO::Select->select($sel, $sent ? undef : $sel, undef,
                               $o{timeout});

        if (!$readable) {
            next if $! == EINTR;
            return { text => $in, error => 'client socket timed out' };
        }

        if (@$readable) {
            my $n = sysread($sock, $in, 65536, length $in);

            if (defined $n ? $n == 0 : $! != EAGAIN) {
                return { text => $in };
            }
        }

        if (@$writable) {
            if ($out ne '') {
                my $n = syswrite($sock, $out);

                if (defined $n) {
                    substr($out, 0, $n) = '';
                } elsif ($! != EAGAIN) {
                    $sent = 1;
                }

            } elsif (my $next = shift @queue) {
                my $delay = $next->{delay_before} // $o{delay};
                sleep($delay) if $delay;
                $out = $next->{value};

            } else {
                $sent = 1;
                shutdown($sock, $o{shutdown} =~ /^\s*$/ ? 1 : $o{shutdown})
                    if defined $o{shutdown};
            }
        }
    }
}


# {code, headers, raw_headers, body, left, error} of the first response in
# the text; the request tells whether a body is to follow.

sub parse
{
    my ($text, $request) = @_;

    $text //= '';

    my %res = (headers => {}, raw_headers => '', body => '');

    my ($head, $rest) = $text =~ /^(.*?\r\n)\r\n(.*)$/s ? ($1, $2)
                                                       : ($text, '');
    $res{raw_headers} = $head if $text =~ /\r\n\r\n/;

    my ($status, @lines) = split /\r?\n/, $head;
    $res{code} = $1 if ($status // '') =~ m{^HTTP/[\d.]+ (\d+)};

    for my $line (@lines) {
        my ($key, $value) = $line =~ /^([^\s:]+)[ \t]*: ?(.*)$/ or next;
        push @{ $res{headers}{ lc $key } }, $value;
    }

    my $first  = join '', map { $_->{value} } @$request;
    my $length = ($res{headers}{'content-length'} // [])->[0];
    my $coding = ($res{headers}{'transfer-encoding'} // [])->[0] // '';

    if (($res{code} // 0) =~ /^(?:101|304)$/) {
        $res{left} = $rest;

    } elsif ($coding eq 'chunked') {
        dechunk(\%res, $rest);

    } elsif (defined $length) {
        if ($first =~ /^\s*HEAD\s/) {
            $length = 0 if $rest eq '' || $rest =~ m{^HTTP/};
        }

        warn 'WARNING: response body truncated: ', $length, ' expected, but ',
             'got ', length $rest, "\n" if length $rest < $length;

        $res{body} = substr($rest, 0, $length);
        $res{left} = length $rest > $length ? substr($rest, $length) : '';

    } else {
        $res{body} = $rest;
    }

    return \%res;
}


sub dechunk
{
    my ($res, $rest) = @_;

    while ($rest =~ s/^[ \t]*([0-9a-fA-F]+)[^\r\n]*\r\n//) {
        my $size = hex $1;

        if ($size == 0) {
            if ($rest =~ s/^(?:[^\r\n]+\r\n)*\r\n//) {
                $res->{left} = $rest;
                return;
            }
            last;
        }

        last if length $rest < $size + 2
                || substr($rest, $size, 2) ne "\r\n";

        $res->{body} .= substr($rest, 0, $size);
        substr($rest, 0, $size + 2) = '';
    }

    $res->{error} = 'invalid chunked data received';
}


1;
