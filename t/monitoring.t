# The dashboard and the alerts of docker/, asked of a real Prometheus that has
# scraped our metrics.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Clients qw(api put);
use Gateway;
use Gateway::Process qw(free_port spawn);
use JSON::PP qw(decode_json);
use Test::More;

plan skip_all => 'no prometheus: apt-get install prometheus'
    if !grep { -x "$_/prometheus" } split /:/, $ENV{PATH};

my $docker = "$FindBin::Bin/../docker";
my ($a, $b, $c) = map { backend(name => $_) } qw(a b c);

my $g = gateway(<<"END");
    tbucket_zone \$arg_key zone=clients:1m rate=1r/s;
    upstream backend {
        lb round_robin;
        @{[ $a->server, $b->server('max_fails=1 fail_timeout=10m'),
            $c->server ]}
    }
    upstream emptied { lb round_robin; @{[ $a->server ]} }
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { tbucket zone=clients; proxy_pass http://backend; }
        location /clients { tbucket_api zone=clients write=on; }
        location /upstreams { lb_api write=on; }
        location /metrics/tbucket { tbucket_metrics; }
        location /metrics/lb { lb_metrics; }
    }
END

my $port = free_port();
my $dir  = temp_dir();

open(my $conf, '>', "$dir/prometheus.yml") or die "prometheus.yml: $!\n";
print $conf <<"END";
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: ["$docker/prometheus/alerts.yml"]
scrape_configs:
END
print $conf <<"END" for qw(tbucket lb);
  - job_name: $_
    metrics_path: /metrics/$_
    static_configs: [{targets: ["127.0.0.1:@{[ $g->port ]}"]}]
END
close($conf) or die "prometheus.yml: $!\n";

spawn("$dir/out", 'prometheus', "--config.file=$dir/prometheus.yml",
      "--storage.tsdb.path=$dir/data",
      "--web.listen-address=127.0.0.1:$port");


# What Prometheus has at a path of its API, or undef.

sub ask
{
    my ($path) = @_;

    my $body = get($port, "/api/v1/$path")->{body} // '';
    my $answer = eval { decode_json($body) } // {};

    return ($answer->{status} // '') eq 'success' ? $answer->{data} : undef;
}


sub series
{
    my ($expression) = @_;

    my $data = ask('query?query='
                   . $expression =~ s/(\W)/sprintf '%%%02X', ord $1/ger);

    return @{ $data ? $data->{result} : [] };
}


# The labels of an alert that is on, or soon will be.

sub alerts
{
    my ($name) = @_;

    return map { $_->{labels} } grep { $_->{labels}{alertname} eq $name }
           @{ (ask('alerts') // {})->{alerts} // [] };
}


ok(wait_for(sub { series('up == 1') == 2 }, 60), 'both metrics are scraped')
    or diag(Gateway::slurp("$dir/out"));

# one server is down, one drained; somebody is refused

$b->kill;
get($g, "/?key=$_") for 1 .. 6;
get($g, '/?key=x') for 1 .. 6;
is(put($g, 'x', 1, 1), 201, 'a client');
is(api($g, 'PATCH', '/upstreams/backend/servers/3',
       { state => 'draining' })->{code}, 200, 'a server is drained');
is(api($g, 'DELETE', '/upstreams/emptied/servers/1')->{code}, 204,
   'an upstream is emptied');

ok(wait_for(sub {
    get($g, '/?key=x');
    series('rate(lb_requests_total[1m]) > 0') > 0
}, 30), 'a rate is known');

subtest 'every query of the dashboard is answered' => sub {
    my $json = Gateway::slurp("$docker/grafana/dashboards/gateway.json");
    my $dashboard = decode_json($json);
    my @queries = map { map { $_->{expr} } @{ $_->{targets} } }
                  @{ $dashboard->{panels} };

    is(join(' ', map { $_->{name} } @{ $dashboard->{templating}{list} }),
       'datasource instance zone upstream', 'it has variables');

    for my $query (@queries) {
        my $asked = $query =~ s/\$(?:instance|zone|upstream)/.*/gr;
        unlike($asked, qr/\$/, 'and no others');
        ok(wait_for(sub { series($asked) }), $query);
    }

    for my $variable (@{ $dashboard->{templating}{list} }) {
        my ($of) = $variable->{query} =~ /^label_values\((.*), \w+\)$/
            or next;
        ok(scalar series($of =~ s/\$instance/.*/r), $variable->{query});
    }
};

subtest 'alerts tell of failures, and not of what is wanted' => sub {
    my @rules = map { @{ $_->{rules} } } @{ ask('rules')->{groups} };
    is(scalar(grep { $_->{health} ne 'ok' } @rules), 0, 'all are evaluated');
    is(scalar(grep { ($_->{labels}{severity} // '') !~
                     /^(?:critical|warning)$/ } @rules), 0,
       'all have a severity');

    ok(wait_for(sub { alerts('ServerDown') }), 'a server is down');
    is(join(' ', map { "$_->{server} $_->{state}" } alerts('ServerDown')),
       $b->address . ' down', 'that one, and not the one that is drained');
    ok(wait_for(sub { alerts('NoServerLeft') }), 'no server is left');
    is(join(' ', map { $_->{upstream} } alerts('NoServerLeft')), 'emptied',
       'of the upstream that is empty');
    is(scalar alerts($_), 0, "no $_") for qw(GatewayDown StoreDown ZoneFull);

    is(api($g, 'POST', '/upstreams/emptied/servers',
           { address => $a->address })->{code}, 201, 'a server is added');
    ok(wait_for(sub { !alerts('NoServerLeft') }), 'and the alert is over');
};

done_testing();
