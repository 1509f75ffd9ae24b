# The balancer with everything that nginx can pass a request to: TLS with
# sessions that are resumed, gRPC, FastCGI, unix sockets, unbuffered bodies,
# subrequests.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use IO::Socket::INET;
use Test::More;

my $dir = Gateway::temp_dir();

sub server
{
    my ($location) = @_;
    return "server { listen 127.0.0.1:%%PORT%%; location / { $location } }\n";
}


subtest 'TLS: sessions are resumed with each server, names verified' => sub {
    is(system("openssl req -x509 -newkey rsa:2048 -nodes -days 30"
              . " -subj /CN=gateway.test -addext subjectAltName=DNS:gateway.test"
              . " -keyout $dir/key -out $dir/cert 2>$dir/err"), 0,
       'a certificate') or diag(`cat $dir/err`);

    for my $version (qw(TLSv1.2 TLSv1.3)) {
        my $tls = join '', map { <<"END" } qw(a b);
            server {
                listen 127.0.0.1:%%PORT_$_%% ssl;
                ssl_certificate $dir/cert; ssl_certificate_key $dir/key;
                ssl_protocols $version; keepalive_timeout 0;
                location / { return 200 "$_ \$ssl_session_reused"; }
            }
END
        my $g = gateway($tls . <<"END" . server(<<'END2'));
            upstream u { lb round_robin; server 127.0.0.1:%%PORT_a%%;
                         server 127.0.0.1:%%PORT_b%%; }
            proxy_ssl_protocols $version;
            proxy_ssl_trusted_certificate $dir/cert;
END
            proxy_pass https://u; proxy_ssl_verify on;
            proxy_ssl_name gateway.test; proxy_ssl_server_name on;
END2
        is(join(',', map { get($g, '/')->{body} } 1 .. 6),
           'a .,b .,a r,b r,a r,b r', "$version");
    }

    my $g = gateway(<<"END" . server(<<"END2"));
        server { listen 127.0.0.1:%%PORT_a%% ssl; ssl_certificate $dir/cert;
                 ssl_certificate_key $dir/key; }
        upstream u { lb round_robin; server 127.0.0.1:%%PORT_a%%; }
END
        proxy_pass https://u; proxy_ssl_verify on; proxy_ssl_name other.test;
        proxy_ssl_trusted_certificate $dir/cert;
END2
    is(get($g, '/')->{code}, 502, 'a wrong name is refused');
    ok($g->wait_log(
           qr/is down: upstream SSL certificate does not match "other.test",/),
       'and the log says that this was the reason');
};


subtest 'TLS or not: an idle connection is of use for its own kind' => sub {
    my $g = gateway(<<"END" . server(<<'END2'));
        server {
            listen 127.0.0.1:%%PORT_a%% ssl;
            ssl_certificate $dir/cert; ssl_certificate_key $dir/key;
            location / { return 200 "\$scheme \$connection_requests"; }
        }
        upstream u { lb round_robin; server 127.0.0.1:%%PORT_a%%
                                            max_fails=0; }
END
            proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_pass $arg_s://u;
END2

    my @said = map { my $r = get($g, "/?s=$_");
                     $r->{code} == 200 ? $r->{body} : $r->{code} }
               qw(https https http https http https);

    is(join(',', @said), 'https 1,https 2,400,https 3,400,https 4',
       'requests in clear text take connections of their own');
};


subtest 'gRPC' => sub {
    my $http2 = join '', map { <<"END" } qw(a b);
        server { listen 127.0.0.1:%%PORT_$_%% http2;
                 location / { return 200 "$_"; } }
END
    my $g = gateway($http2 . <<'END' . server('grpc_pass grpc://u;'));
        upstream u { lb round_robin; server 127.0.0.1:%%PORT_a%%;
                     server 127.0.0.1:%%PORT_b%%; server 127.0.0.1:1; }
END
    is(join('', map { get($g, '/')->{body} } 1 .. 6), 'ababab', 'in turns');
};


# nginx leaves the stream of the first connection in the request.

for my $pass ('grpc_pass grpc://u; grpc_next_upstream invalid_header',
              version() ge v1.29.4
              ? 'proxy_pass http://u; proxy_http_version 2; '
                . 'proxy_next_upstream invalid_header' : ())
{
    subtest 'from a kept connection to a fresh one: ' . $pass =~ s/ .*//r
            => sub {
        my $g = gateway(<<'END' . server("$pass;"));
        server { listen 127.0.0.1:%%PORT_a%% http2;
                 location / { return 200 "a$connection_requests"; }
                 location /reset { return 444; } }
        server { listen 127.0.0.1:%%PORT_b%% http2;
                 location / { return 200 "b$connection_requests"; } }
        upstream u { lb round_robin; server 127.0.0.1:%%PORT_a%% max_fails=0;
                     server 127.0.0.1:%%PORT_b%% backup; }
END
        is(get($g, '/')->{body}, 'a1', 'a connection is made');
        is(get($g, '/')->{body}, 'a2', 'and kept');
        is(get($g, '/reset')->{body}, 'b1', 'the next server answers');
    };
}


# a FastCGI application that answers with its name

sub fastcgi
{
    my ($name) = @_;
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64)
        or die "listen: $!";

    Gateway::Process::fork_child(sub {
        while (my $c = $listen->accept) {
            my ($stdin_ended, $head) = (0, '');

            while (!$stdin_ended && read($c, $head, 8) == 8) {
                my (undef, $type, undef, $length, $pad) = unpack('CCnnC', $head);
                read($c, my $body, $length + $pad) if $length + $pad;
                $stdin_ended = $type == 5 && $length == 0;
            }

            my $out = "Content-Type: text/plain\r\n\r\n$name";
            print $c pack('CCnnCx', 1, 6, 1, length $out, 0), $out,
                     pack('CCnnCx', 1, 6, 1, 0, 0),
                     pack('CCnnCxNCx3', 1, 3, 1, 8, 0, 0, 0);
            close $c;
        }
    });

    return $listen->sockport;
}


subtest 'FastCGI' => sub {
    my @port = map { fastcgi($_) } qw(a b);
    my $g = gateway("upstream u { lb round_robin;"
                    . join('', map { "server 127.0.0.1:$_;" } @port) . '}'
                    . server('fastcgi_pass u;'));

    is(join('', map { get($g, '/')->{body} } 1 .. 4), 'abab', 'in turns');
};


subtest 'unix sockets, one of them gone' => sub {
    my $b = backend(name => 'a', unix => 1);
    my $g = gateway("upstream u { lb round_robin; server unix:$dir/none;"
                    . $b->server . '}' . server(<<'END'));
        proxy_pass http://u; add_header X-Lb $lb_server;
END

    my $r = get($g, '/');
    is($r->{code}, 200, 'answered');
    is($r->{headers}{'x-lb'}, $b->address, 'by the one that is there');
    like($g->wait_log(qr/is down/),
         qr{lb: server unix:\S+/none in upstream "u" is down: connect\(\) to unix:\S+ failed \(2: No such file or directory\), 1 failure; 1 of 2},
         'the other one is named');
};


subtest 'request bodies that are not buffered' => sub {
    my @b = map { backend(name => $_) } qw(a b);
    my $g = gateway('upstream u { lb round_robin;'
                    . join('', map { $_->server } @b) . '}' . server(<<'END'));
        proxy_pass http://u; proxy_request_buffering off;
        proxy_http_version 1.1;
END

    my $body = 'x' x 100_000;
    is(request($g, 'POST', '/', body => $body)->{code}, 200, "POST $_")
        for 1 .. 2;
    is_deeply([map { scalar $_->requests } @b], [1, 1], 'one each');

    $b[0]->kill;
    is(request($g, 'POST', '/', body => $body)->{code}, 200,
       'a connection that is refused costs no body');
};


subtest 'subrequests have attempts of their own' => sub {
    my @b = map { backend(name => $_) } qw(a b);
    my $g = gateway(<<"END");
        log_format lb '\$uri \$lb_server \$lb_tries';
        upstream u { lb round_robin; @{[ map { $_->server } @b ]} }
        upstream v { lb round_robin; server 127.0.0.1:1; @{[ $b[1]->server ]} }
        server { listen 127.0.0.1:%%PORT%%;
                 auth_request /auth;
                 auth_request_set \$auth \$lb_tries;
                 location / { proxy_pass http://u;
                              add_header X-Lb "\$lb_server \$lb_tries \$auth"; }
                 location = /auth { internal; proxy_pass http://v; } }
END
    is(get($g, '/')->{headers}{'x-lb'},
       $b[0]->address . ' 1 2', 'each knows its own');
};


done_testing();
