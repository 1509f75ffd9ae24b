# Proxy-Status says what a request has failed for, in the terms of RFC 9209.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use IO::Socket::INET;
use Test::More;

# A port that nobody listens on.

my $closed = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1);
my $refuses = $closed->sockport;
close $closed;

my $garbage = "HTTP/1.1 200 OK\r\nno header\0\r\n\r\n";
my $long = "HTTP/1.1 200 OK\r\nX: " . 'x' x 9000 . "\r\n\r\n";
my $bad = "HTTP/1.1 502 Bad\r\nContent-Length: 1\r\n\r\nx";

my %upstream = (
    refused => "server 127.0.0.1:$refuses;",
    none    => "server 127.0.0.1:$refuses down; server 127.0.0.1:1 down;",
    closes  => 'server 127.0.0.1:' . raw_server('', 1) . ';',
    waits   => 'server 127.0.0.1:' . raw_server('') . ';',
    garbage => 'server 127.0.0.1:' . raw_server($garbage, 1) . ';',
    long    => 'server 127.0.0.1:' . raw_server($long, 1) . ';',
    answers => 'server 127.0.0.1:' . raw_server($bad, 1) . ';',
    unix    => 'server "unix:/nonexistent/a\\"b";',
);

my $upstreams = join '', map { "upstream $_ { lb round_robin; $upstream{$_} }\n" }
                sort keys %upstream;
my $locations = join '', map { "location /$_/ { proxy_pass http://$_; }\n" }
                sort keys %upstream;

my $gateway = gateway(<<"END");
    $upstreams
    upstream plain { lb round_robin; server 127.0.0.1:%%PORT_plain%%; }
    server { listen 127.0.0.1:%%PORT_plain%%; }
    server {
        listen 127.0.0.1:%%PORT%%;
        proxy_read_timeout 300ms;
        lb_proxy_status on;
        $locations
        location /off/ { proxy_pass http://refused; lb_proxy_status off; }
        location /hop/ { proxy_pass http://refused; lb_proxy_status next_hop; }
        location /hop_unix/ { proxy_pass http://unix; lb_proxy_status next_hop; }
        location /tls/ { proxy_pass https://plain; }
        location /page/ { proxy_pass http://refused; error_page 502 /page.html; }
        location = /page.html { internal; return 502 "page"; }
        location /else/ { proxy_pass http://refused; error_page 502 = \@else; }
        location \@else { proxy_pass http://answers; }
    }
END

my %error = (
    refused => 'connection_refused',
    none    => 'destination_unavailable',
    closes  => 'connection_terminated',
    waits   => 'connection_read_timeout',
    garbage => 'http_protocol_error',
    long    => 'http_response_header_section_size',
    unix    => 'destination_unavailable',
    tls     => 'tls_protocol_error',
    page    => 'connection_refused',
);

sub status_of
{
    return get($gateway, "/$_[0]/")->{headers}{'proxy-status'};
}


is(status_of($_), "nginx; error=$error{$_}", "$_: $error{$_}")
    for sort keys %error;

is(status_of('hop'), 'nginx; error=connection_refused; '
   . qq(next-hop="127.0.0.1:$refuses"), 'the last server is told where asked');
is(status_of('hop_unix'), 'nginx; error=destination_unavailable; '
   . 'next-hop="unix:/nonexistent/a\\"b"', 'its name is escaped');

is(status_of($_), undef, "$_: none") for qw(off answers else);

done_testing();
