# TLS to servers: a kept connection and a kept session are for requests that
# would have made the same one, wherever in the configuration they are.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;

my $dir = Gateway::temp_dir();

certificate($_) for qw(gateway.test other.test client.test guest.test);

my %keepalive = ('connections' => 'keepalive_timeout 60s',
                 'sessions'    => 'keepalive_timeout 0');

for my $version (qw(TLSv1.2 TLSv1.3)) {
    for my $what (sort keys %keepalive) {
        subtest "$version: $what" => sub { kept($version, $what) };
    }
}

done_testing();


sub certificate
{
    my ($name) = @_;

    system("openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=$name"
           . " -addext subjectAltName=DNS:$name -keyout $dir/$name.key"
           . " -out $dir/$name 2>$dir/err") == 0
        or die "no certificate: " . `cat $dir/err`;
}


# Each answer tells by what means it came: a new handshake ("new"), a session
# that was resumed ("resumed"), or a connection that was there ("kept").

sub kept
{
    my ($version, $what) = @_;

    my $verify = 'proxy_ssl_verify on; proxy_ssl_server_name on;';
    my $trust = "proxy_ssl_trusted_certificate $dir/gateway.test;";
    my $name = 'proxy_ssl_name gateway.test;';
    my $own = "proxy_ssl_certificate $dir/client.test;"
              . " proxy_ssl_certificate_key $dir/client.test.key;";

    my %location = (
        one      => "$verify $trust $name",
        same     => "$verify $trust $name",
        variable => "$verify $trust proxy_ssl_name \$arg_name;",
        stranger => "$verify proxy_ssl_trusted_certificate $dir/other.test;"
                    . " $name",
        name     => "$verify $trust proxy_ssl_name other.test;",
        none     => '',
        sni      => "proxy_ssl_server_name on; $name",
        depth    => "$verify $trust $name proxy_ssl_verify_depth 5;",
        ciphers  => "$verify $trust $name"
                    . ' proxy_ssl_conf_command Groups P-256;',
        client   => "$verify $trust $name $own",
        chosen   => "$verify $trust $name"
                    . " proxy_ssl_certificate $dir/\$arg_who;"
                    . " proxy_ssl_certificate_key $dir/\$arg_who.key;",
    );

    my $locations = join '', map {
        "location /$_ { proxy_pass https://u; $location{$_} }\n"
    } sort keys %location;

    my $g = gateway(<<"_EOC_");
    map \$ssl_session_reused \$made { r resumed; default new; }
    map \$connection_requests \$how { 1 \$made; default kept; }
    server {
        listen 127.0.0.1:%%PORT_a%% ssl;
        ssl_certificate $dir/gateway.test;
        ssl_certificate_key $dir/gateway.test.key;
        ssl_protocols $version;
        ssl_verify_client optional_no_ca;
        $keepalive{$what};
        location / {
            add_header X-Who "\$how \$ssl_server_name \$ssl_client_s_dn";
            return 200;
        }
    }
    upstream u { lb round_robin; server 127.0.0.1:%%PORT_a%% max_fails=0; }
    server {
        listen 127.0.0.1:%%PORT%%;
        proxy_ssl_protocols $version;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        $locations
    }
_EOC_

    my $again = $what eq 'connections' ? 'kept' : 'resumed';
    my $at = sub {
        my $r = get($g, "/$_[0]");
        return $r->{code} == 200 ? $r->{headers}{'x-who'} : $r->{code};
    };

    is($at->('one'), 'new gateway.test', 'the first one is verified');
    is($at->('one'), "$again gateway.test", 'the next one need not be');
    is($at->('same'), "$again gateway.test",
       'nor in a location with the same settings');
    is($at->('variable?name=gateway.test'), "$again gateway.test",
       'nor if the name is a variable');

    is($at->('stranger'), 502, 'a location that trusts another CA refuses');
    is($at->('name'), 502, 'so does one that asks for another name');
    is($at->('variable?name=other.test'), 502, 'and if that is a variable');
    is($at->('one'), "$again gateway.test", 'which does the first no harm');

    is($at->('none'), 'new', 'without a name and verification');
    is($at->('sni'), 'new gateway.test', 'with a name only');
    is($at->('one'), "$again gateway.test", 'the first is still verified');
    is($at->('depth'), 'new gateway.test', 'another depth of verification');
    is($at->('ciphers'), 'new gateway.test', 'other groups');

    is($at->('client'), 'new gateway.test CN=client.test',
       'a certificate of our own');
    is($at->('client'), "$again gateway.test CN=client.test", '... again');
    is($at->('chosen?who=guest.test'), 'new gateway.test CN=guest.test',
       'one that is a variable');
    is($at->('chosen?who=client.test'), 'new gateway.test CN=client.test',
       'another one');
    is($at->('chosen?who=guest.test'), "$again gateway.test CN=guest.test",
       '... again');
    is($at->('one'), "$again gateway.test", 'and none');

    $g->quit;
}
