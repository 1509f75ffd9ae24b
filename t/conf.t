# The example configurations: nginx accepts them, and they do what they say.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Gateway;
use Gateway::Example qw(example);
use Test::More;

my $conf = "$FindBin::Bin/../conf";

my @ports = (qr/listen 8080/, 'listen 127.0.0.1:%%PORT%%',
             qr/127\.0\.0\.1:8081/, '127.0.0.1:%%PORT_admin%%');

subtest 'every example is accepted' => sub {
    my $password = temp_dir() . '/password';
    open(my $out, '>', $password) or die "$password: $!\n";
    print $out "secret\n";
    close($out);

    my @files = map { s,.*/,,r } glob("$conf/*.conf");
    cmp_ok(scalar @files, '>=', 5, 'they are found');

    for my $name (@files) {
        my $text = example($name)
            =~ s/listen \K(?:127\.0\.0\.1:)?808(\d)/127.0.0.1:%%PORT_$1%%/gr
            =~ s/password_file=\S+?(;|\s)/password_file=$password$1/gr;
        my ($code, $err) = check($text);
        is($code, 0, $name) or diag($err);
    }
};

subtest 'production.conf serves' => sub {
    my @b = map { backend(name => $_) } qw(a b c);
    my @servers = map { qr/127\.0\.0\.1:900$_\b/, $b[$_ - 1]->address } 1 .. 3;
    my $g = gateway(example('production.conf', @ports, @servers,
                            qr/rate=10r\/s capacity=100/,
                            'rate=1r/h capacity=5',
                            qr/ buffer=64k flush=1s/, ''),
                    workers => 2);
    my $admin = $g->port('admin');

    is(get($g, '/')->{code}, 200, 'a request is answered');

    my $r = get($admin, '/upstreams', headers => { Host => 'evil.example' });
    is($r->{code}, 421, 'the admin server refuses a name it does not know');
    is($r->{body}, '{"code":421,"message":"Misdirected request"}', 'as JSON');

    $r = get($admin, '/', headers => { Host => 'localhost' });
    like($r->{body}, qr/<title>Gateway/, 'the status page is there');
    like($r->{headers}{'content-security-policy'}, qr/frame-ancestors 'none'/,
         'for nobody to frame');

    for my $uri (qw(/clients /upstreams /metrics/tbucket /metrics/lb
                    /status)) {
        is(get($admin, $uri, headers => { Host => 'localhost' })->{code}, 200,
           "$uri is there");
    }
    $r = get($admin, '/nowhere', headers => { Host => 'localhost' });
    is($r->{code}, 404, 'what is not there keeps its status');
    like($r->{headers}{'content-type'}, qr{^application/json}, 'as JSON');
    is($r->{body}, '{"code":404,"message":"Not found"}', 'with its name');

    get($g, '/') for 1 .. 4;
    $r = get($g, '/secret', headers => { 'X-API-Key' => 'top-secret' });
    is($r->{code}, 429, 'who is over the limit is refused');
    is($r->{body}, '{"code":429,"message":"Rate limit exceeded"}',
       'in the words of the limiter');

    my $log;
    wait_for(sub {
        $log = Gateway::slurp($g->dir . '/access.json');
        $log =~ m{/secret};
    });
    unlike($log, qr/top-secret/, 'no API key is in the log');
    require JSON::PP;
    my @lines = map { eval { JSON::PP::decode_json($_) } // 0 }
                split /\n/, $log;
    ok(!grep({ !$_ } @lines), 'each line of the log is JSON');
    my ($refused) = grep { $_->{uri} eq '/secret' } @lines;
    is($refused->{limit}{status}, 'REJECTED', 'and says who refused');
    is($lines[0]{balancer}{tries}, '1', 'or how many servers were tried');
};

done_testing();
