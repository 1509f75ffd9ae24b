# The suite's tool fails when it should: each kind of verdict, given something
# else than what nginx answers, is "not ok" and the only one.

use v5.28;
use warnings;

use File::Temp qw(tempdir);
use Test::More;

my $dir = tempdir(CLEANUP => 1);
mkdir("$dir/t");

# Runs one block; returns the titles of the tests that were not ok.

sub failures
{
    my ($block, $tests) = @_;

    open(my $out, '>', "$dir/t/one.t") or die "one.t: $!\n";
    print $out <<~END;
        use Test::Nginx::Socket;
        plan tests => $tests;
        run_tests();
        __DATA__
        === TEST 1: one
        $block
        END
    close($out);

    my $inc = join ' ', map { "-I'$_'" } grep { !ref } @INC;
    local $ENV{TEST_NGINX_RANDOMIZE} = 1;
    local $ENV{TEST_NGINX_LOAD_MODULES} = '';

    return grep { /^not ok/ } qx(cd '$dir' && '$^X' $inc t/one.t 2>/dev/null);
}

my $get = <<'END';
--- config
    rewrite_log on;
    location = /t { rewrite ^/o /; add_header X-A 1; return 200 "body\n"; }
--- request
GET /t
END

is(failures("${get}--- response_body\nbody", 2), 0,
   'nothing fails when all is as it should be');

my %wrong = (
    'status code ok'       => [1, '--- error_code: 404'],
    'response_body '       => [2, "--- response_body\nother"],
    'response_body_like'   => [2, "--- response_body_like\nother"],
    'response_body_unlike' => [2, "--- response_body_unlike\nbody"],
    'header X-A ok'        => [2, "--- response_headers\nX-A: 2"],
    'header X-A not'       => [2, "--- response_headers\n! X-A"],
    'header X-A like'      => [2, "--- response_headers_like\nX-A: [a-z]"],
    'resp headers like'    => [2, "--- raw_response_headers_like\nX-B"],
    'resp headers unlike'  => [2, "--- raw_response_headers_unlike chomp\nX-A"],
    'in error.log|matches a line in error' => [2, "--- error_log\nnothing"],
    'not match|should not' => [2, "--- no_error_log\ndoes not match"],
    'grep_error_log_out'   => [2, "--- grep_error_log: nothing\n"
                                  . "--- grep_error_log_out\nsomething"],
    'access.log'           => [2, "--- access_log\nPOST"],
);

for my $title (sort keys %wrong) {
    my ($tests, $section) = @{ $wrong{$title} };
    my @failed = failures($get . $section, $tests);

    is(@failed, 1, "one failure for: " . $section =~ s/\n/ /gr);
    like($failed[0] // '', qr/$title/, 'and it is this one');
}

is(failures("--- config\n    location /t { }\n--- must_die", 1), 1,
   'a configuration that nginx takes, though it must not');
is(failures("--- config\n    location = /t { return 444; }\n"
            . "--- request\nGET /t", 1), 1,
   'no response at all');

done_testing();
