# Health checks over gRPC, of a real gRPC server and of others.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Gateway::Certs;
use Gateway::Process qw(finish spawn);
use Test::More;


sub gate
{
    my ($port, $parameters, $more) = @_;

    return gateway(<<"END", workers => 2);
    upstream u {
        lb round_robin;
        server 127.0.0.1:$port;
        lb_health_check grpc $parameters interval=100ms rise=1 fall=1
                        mandatory;
    }
    server { listen 127.0.0.1:%%PORT%%; location / { proxy_pass http://u; } }
END
}


sub states
{
    my ($file, @states) = @_;

    open(my $out, '>', "$file.new") or die "$file: $!\n";
    print $out map { "$_\n" } @states;
    close($out);
    rename("$file.new", $file);
}


sub asked
{
    my ($file) = @_;

    open(my $in, '<', "$file.asked") or return '';
    my @lines = <$in>;
    return $lines[-1] // '';
}


SKIP: {
    skip('there is no python3-grpcio', 1)
        if system('/usr/bin/python3 -c "import grpc" 2>/dev/null') != 0;

    subtest 'a gRPC server' => sub {
        my $port = free_port();
        my $file = temp_dir() . '/states';
        states($file, '- 1', 'shop 2');
        my $pid = spawn("$file.log", "$FindBin::Bin/../lib/health.py", $port,
                        $file);

        my $g = gate($port, 'header="X-Key: abc" host=shop.test');
        ok($g->wait_log(qr/is up: 1 check passed/, 20), 'it serves');
        like(asked($file), qr/^- .*user-agent=nginx \(health check\).* x-key=abc/,
             'it has seen the header');

        $g->mark;
        states($file, '- 2', 'shop 1');
        like($g->wait_log(qr/is down/), qr/: health status NOT_SERVING, /,
             'it does not serve');
        $g->mark;
        states($file);
        like($g->wait_log(qr/check of server .* failed: grpc/),
             qr/: grpc-status 5/, 'it does not know');
        $g->quit;

        states($file, '- 2', 'shop 1');
        $g = gate($port, 'service=shop');
        ok($g->wait_log(qr/is up: 1 check passed/), 'a service serves');
        like(asked($file), qr/^shop /, 'it was asked for by name');
        $g->mark;
        finish($pid);
        like($g->wait_log(qr/is down/), qr/(refused|reset|closed)/,
             'the server is gone');
        $g->quit;
    };

    subtest 'a gRPC server over TLS' => sub {
        my $ca = Gateway::Certs->new;
        my ($cert, $key) = $ca->issue('shop.test', 'DNS:shop.test');
        my $port = free_port();
        my $file = temp_dir() . '/states';
        states($file, '- 1');
        my $pid = spawn("$file.log", "$FindBin::Bin/../lib/health.py", $port,
                        $file, $cert, $key);

        my $g = gate($port, 'tls_name=shop.test tls_ca=' . $ca->file);
        ok($g->wait_log(qr/is up: 1 check passed/, 20), 'it serves');
        $g->quit;

        $g = gate($port, 'tls_name=other.test tls_ca=' . $ca->file);
        like($g->wait_log(qr/check of server .* failed/),
             qr/TLS: certificate is not accepted: .*ostname mismatch/,
             'its certificate is verified');
        $g->quit;

        $g = gate($port, '');
        like($g->wait_log(qr/check of server .* failed/),
             qr/(HTTP\/2|closed|reset)/, 'without TLS it cannot be checked');
        $g->quit;
        finish($pid);
    };
}


subtest 'nginx as the server' => sub {
    my $backend = gateway(<<"END");
    server {
        listen 127.0.0.1:%%PORT%% http2;
        root %%DIR%%/html;
        add_trailer grpc-status 0;
        location = /grpc.health.v1.Health/Check {
            error_page 405 =200 /ok;
            return 405;
        }
        location /ok { }
    }
    server {
        listen 127.0.0.1:%%PORT_missing%% http2;
        location / { return 404; }
    }
    server { listen 127.0.0.1:%%PORT_http1%%; location / { return 200; } }
END
    open(my $out, '>', $backend->dir . '/html/ok') or die $!;
    print $out "\0\0\0\0\2\x08\1";
    close($out);

    my $g = gate($backend->port, '');
    ok($g->wait_log(qr/is up: 1 check passed/), 'HTTP/2 without TLS')
        or diag($g->log);
    open($out, '>', $backend->dir . '/html/ok') or die $!;
    print $out "\0\0\0\0\2\x08\2";
    close($out);
    like($g->wait_log(qr/is down/), qr/health status NOT_SERVING/,
         'what it says counts');
    $g->quit;

    $g = gate($backend->port('missing'), '');
    like($g->wait_log(qr/check of server .* failed/), qr/: status 404/,
         'a status of HTTP is told');
    $g->quit;

    $g = gate($backend->port('http1'), '');
    like($g->wait_log(qr/check of server .* failed/),
         qr/: the server does not speak HTTP\/2/, 'so is HTTP/1.1');
    $g->quit;
};


done_testing();
