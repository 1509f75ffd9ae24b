package Test::Nginx::Request;

# The requests of a Test::Nginx suite: their bytes, out of the sections of a
# block.

use v5.28;
use warnings;


# Each request of a block is a list of packets.

sub requests
{
    my ($block, $host) = @_;

    my $raw = $block->raw_request;
    return [ref $raw ? @$raw : $raw] if defined $raw;

    my $headers = sub {
        my ($i) = @_;

        my $h = $block->more_headers // '';
        return ref $h ? $h->[$i] // die "no more_headers for request $i\n"
                      : $h;
    };

    my $i = 0;

    if (my $pipelined = $block->pipelined_requests) {
        return [join '', map {
            my $last = $i == $#$pipelined;
            build($_, $host, $last ? 'close' : 'keep-alive', $headers->($i++))
        } @$pipelined];
    }

    my $request = $block->request // return;

    return map { [build($_, $host, 'close', $headers->($i++))] }
           ref $request ? @$request : $request =~ s/^\s+//r;
}


# Completes a request: version, Host, Connection, Content-Length.

sub build
{
    my ($text, $host, $connection, $more) = @_;

    my ($line, $body) = $text =~ /^([^\n]*)\n?(.*)$/s;
    my ($method, $url, $version) = split ' ', $line;
    die "the request line is empty\n" if !defined $method;

    $more = join '', map { s/:\s*/: /r . "\r\n" } split /\n+/, $more;
    my $head = join(' ', $method, $url // '/', $version // 'HTTP/1.1')
               . "\r\n";

    $head .= "Host: $host\r\n" if $more !~ /^Host:/mi;
    $head .= "Connection: $connection\r\n" if $more !~ /^Connection:/mi;

    if ($more !~ /^Transfer-Encoding: chunked/mi && $body ne ''
        && $more !~ /^Content-Length:/mi)
    {
        $body =~ s/^\s+|\s+$//g;
        $more .= 'Content-Length: ' . length($body) . "\r\n";
    }

    return "$head$more\r\n$body";
}


1;
